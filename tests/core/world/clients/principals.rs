//! The clients of the other dialect: people as principals.

use std::rc::Rc;

use serde_json::json;

use super::PEOPLE;
use crate::simulation::Violation;
use crate::world::edge::Request;
use crate::world::state::World;

impl World {
    fn service(&self, tenant: usize, method: &'static str, path: &str) -> Request {
        let key = self.tenancies.borrow()[tenant].service_key.clone();
        Request::new(method, format!("/api/v1/principals{path}")).of(tenant).with("X-Assistant-Service-Key", key)
    }

    pub async fn create_principal(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        let body = json!({ "external_id": PEOPLE[user].0, "type": "human", "name": mark, "metadata": { "of": mark } });
        let Some(answer) = self.ask(self.service(tenant, "POST", "").json(body.to_string())).await else {
            return Ok(());
        };
        let mut oracle = self.oracle.borrow_mut();
        oracle.settle_text(&asked, text, &answer);
        match answer.status {
            201 => {
                oracle.hears_created(&asked)?;
                oracle.hears_tag(&asked, &answer)
            }
            200 => oracle.hears_tag(&asked, &answer),
            409 => oracle.hears_absent(&asked, &answer),
            _ => {
                drop(oracle);
                self.hear_refusal(&asked, &answer)
            }
        }
    }

    pub async fn read_principal(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let request = self.service(tenant, "GET", &format!("/by-external-id/{}", PEOPLE[user].1));
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            200 => self.oracle.borrow_mut().hears_tag(&asked, &answer),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }
}
