use super::*;

fn read_with(variables: &[(&str, &str)], has_ai: bool) -> Result<Configuration, WrongSettings> {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Configuration::read(variable, has_ai)
}

fn read(variables: &[(&str, &str)]) -> Result<Configuration, WrongSettings> {
    read_with(variables, false)
}

#[test]
fn says_which_setting_is_wrong() {
    let secret = "s".repeat(32);
    assert!(read(&[]).unwrap_err().to_string().starts_with("KEY_SECRET:"));
    assert!(read(&[("KEY_SECRET", "short")]).unwrap_err().to_string().starts_with("KEY_SECRET:"));
    assert!(
        read(&[("KEY_SECRET", &secret), ("ADMIN_TOKEN", "x")]).unwrap_err().to_string().starts_with("ADMIN_TOKEN:")
    );
    assert!(
        read(&[("KEY_SECRET", &secret), ("PUBLIC_BURST", "0")]).unwrap_err().to_string().starts_with("PUBLIC_BURST:")
    );
    let good = read(&[("KEY_SECRET", &secret), ("ALLOWED_ORIGINS", "https://a.example, https://b.example,")]).unwrap();
    assert_eq!(good.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(
        read(&[("KEY_SECRET", "short"), ("ADMIN_TOKEN", "x"), ("JURISDICTION", "mars")]).unwrap_err().0.len(),
        3,
        "all at once"
    );
}

#[test]
fn the_token_opens_the_admin_api_whatever_else_is_wrong() {
    let is_token = |set: Option<&str>, given: &str| {
        is_admin_token(|name| set.filter(|_| name == "ADMIN_TOKEN").map(str::to_owned), given)
    };
    let token = "t".repeat(32);
    assert!(is_token(Some(&token), &token) && !is_token(Some(&token), &token[1..]));
    assert!(!is_token(Some("short"), "short") && !is_token(None, "") && !is_token(Some(""), ""));
}

fn read_chat(variables: &[(&str, &str)]) -> Result<Option<Chat>, WrongSettings> {
    let secret = "s".repeat(32);
    read(&[variables, &[("KEY_SECRET", &secret)]].concat()).map(|configuration| configuration.chat)
}

/// The model, and the URL unless it is asked by the binding.
fn read_service(variables: &[(&str, &str)], has_ai: bool) -> Option<(String, Option<String>)> {
    let secret = "s".repeat(32);
    let read = read_with(&[variables, &[("KEY_SECRET", &secret)]].concat(), has_ai).unwrap();
    read.chat.map(|chat| match chat.service {
        Service::Http { url, .. } => (chat.model, Some(url)),
        Service::WorkersAi => (chat.model, None),
    })
}

#[test]
fn completions_are_asked_for_below_the_url() {
    for (given, expected) in [
        ("https://h/v1", "https://h/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1/chat/completions/", "https://h/v1/chat/completions"),
        ("https://h/d?api-version=1/2", "https://h/d/chat/completions?api-version=1/2"),
        ("https://h?q", "https://h/chat/completions?q"),
    ] {
        let (_, url) = read_service(&[("RESPONDER_URL", given)], false).unwrap();
        assert_eq!(url.as_deref(), Some(expected), "{given}");
    }
}

#[test]
fn the_responder_has_defaults_and_without_a_url_there_is_none() {
    assert!(read_chat(&[]).unwrap().is_none());
    assert!(read_chat(&[("RESPONDER_URL", ""), ("RESPONDER_KEY", "k")]).unwrap().is_none());
    let chat = read_chat(&[("RESPONDER_URL", "https://h/v1"), ("RESPONDER_KEY", "")]).unwrap().unwrap();
    assert_eq!((chat.model.as_str(), chat.timeout_ms), ("gpt-4o-mini", 30_000));
    assert!(matches!(chat.service, Service::Http { key: None, .. }));
    let settings = [
        ("RESPONDER_URL", "https://h/v1"),
        ("RESPONDER_MODEL", "a/b:1"),
        ("RESPONDER_KEY", "sk-1"),
        ("RESPONDER_TIMEOUT_MS", "600000"),
    ];
    let chat = read_chat(&settings).unwrap().unwrap();
    assert_eq!(format!("{chat:?}"), "Chat");
    assert_eq!((chat.model.as_str(), chat.timeout_ms), ("a/b:1", 600_000));
    assert!(matches!(chat.service, Service::Http { key: Some(key), .. } if key == "sk-1"));
}

#[test]
fn moods_have_a_half_life_of_a_day_by_default() {
    let secret = "s".repeat(32);
    assert_eq!(read(&[("KEY_SECRET", &secret)]).unwrap().mood_half_life_ms, mood::HALF_LIFE_MS_DEFAULT);
    let set = read(&[("KEY_SECRET", &secret), ("MOOD_HALF_LIFE_HOURS", "2")]).unwrap();
    assert_eq!(set.mood_half_life_ms, 7_200_000);
}

#[test]
fn the_largest_numbers_are_taken() {
    let secret = "s".repeat(32);
    let settings =
        [("KEY_SECRET", secret.as_str()), ("MOOD_HALF_LIFE_HOURS", "876600"), ("DEMO_DISTANCE_MS_MAX", "1000")];
    let configuration = read(&settings).unwrap();
    assert_eq!(configuration.mood_half_life_ms, 876_600 * 3_600_000);
    assert_eq!(configuration.demo_distance_ms_max, 1_000);
}

#[test]
fn the_binding_answers_unless_a_url_is_set() {
    assert_eq!(read_service(&[], false), None);
    assert_eq!(read_service(&[], true), Some((WORKERS_AI_MODEL_DEFAULT.to_owned(), None)));
    assert_eq!(read_service(&[("RESPONDER_URL", "")], true), Some((WORKERS_AI_MODEL_DEFAULT.to_owned(), None)));
    assert_eq!(read_service(&[("RESPONDER_MODEL", "@cf/a/b")], true), Some(("@cf/a/b".to_owned(), None)));
    let (model, url) = read_service(&[("RESPONDER_URL", "https://h/v1")], true).unwrap();
    assert_eq!((model.as_str(), url.as_deref()), ("gpt-4o-mini", Some("https://h/v1/chat/completions")));
}

#[test]
fn says_which_setting_of_turns_is_wrong() {
    for (name, value) in [
        ("RESPONDER_URL", "h/v1"),
        ("RESPONDER_URL", "ftp://h"),
        ("RESPONDER_URL", "https://"),
        ("RESPONDER_URL", "https:///v1"),
        ("RESPONDER_URL", "https://:80/v1"),
        ("RESPONDER_URL", "https://?q"),
        ("RESPONDER_URL", "https://user:password@h/v1"),
        ("RESPONDER_URL", "https://h/v1#x"),
        ("RESPONDER_URL", "https://h\\v1"),
        ("RESPONDER_URL", " https://h/v1"),
        ("RESPONDER_URL", "https://h/ü"),
        ("RESPONDER_MODEL", "a b"),
        ("RESPONDER_KEY", "k\r\nX: y"),
        ("RESPONDER_TIMEOUT_MS", ""),
        ("RESPONDER_TIMEOUT_MS", "0"),
        ("RESPONDER_TIMEOUT_MS", "-1"),
        ("RESPONDER_TIMEOUT_MS", "30s"),
        ("RESPONDER_TIMEOUT_MS", "600001"),
        ("MOOD_HALF_LIFE_HOURS", "0"),
        ("MOOD_HALF_LIFE_HOURS", "0.5"),
        ("MOOD_HALF_LIFE_HOURS", "876601"),
        ("DEMO_DISTANCE_MS_MAX", "0"),
        ("DEMO_DISTANCE_MS_MAX", "1001"),
    ] {
        let refusal = read_chat(&[(name, value)]).expect_err(value);
        assert!(refusal.to_string().starts_with(&format!("{name}: ")), "{value}: {refusal}");
        assert!(!refusal.to_string().contains("X: y") && !refusal.to_string().contains("password"), "{refusal}");
    }
}

#[test]
fn events_are_taken_with_either_secret_once_there_is_one() {
    let (secret, good) = ("s".repeat(32), "whsec_plJ3nmyCDGBKInavdOK15jsl");
    let keys = |variables: &[(&str, &str)]| {
        let read = read(&[variables, &[("KEY_SECRET", &secret)]].concat());
        read.map(|configuration| configuration.clerk_webhook_keys.len())
    };
    let (name, previous) = ("CLERK_WEBHOOK_SECRET", "CLERK_WEBHOOK_SECRET_PREVIOUS");
    assert_eq!(keys(&[]), Ok(0));
    assert_eq!(keys(&[(name, "")]), Ok(0));
    assert_eq!(keys(&[(previous, good)]), Ok(0));
    assert_eq!(keys(&[(name, good)]), Ok(1));
    assert_eq!(keys(&[(name, good), (previous, good)]), Ok(2));
    for name in [name, previous] {
        let refusal = keys(&[(name, "whsec_secret")]).unwrap_err();
        assert!(
            refusal.to_string().starts_with(&format!("{name}: ")) && !refusal.to_string().contains("whsec_secret"),
            "{refusal}"
        );
    }
}
