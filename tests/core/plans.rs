//! SQLite's plan for the statements of the object: none walks through a table that grows with the tenant, but for the
//! exceptions below.

use std::collections::BTreeSet;

use rollcall::directory::agent::AgentId;
use rollcall::directory::names::Name;
use rollcall::directory::principal::PrincipalType;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::protocol::{
    Command, EndUserChange, ExportPart, ListAgents, ListKeys, ListPrincipals, ListRelationships, NewAgent,
    Precondition, PrincipalRef, PrincipalsFrom, ReadAgent, ReadEndUser, ReadEvents, ReadPrincipal, ReadUsage,
    ReadUserUsage, UpdateEndUser,
};

use crate::formats::{World, id, tutor};
use crate::sqlite::Sqlite;

/// Parts of steps that walk through a whole table or index, and why they may.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("json_each", "a list of at most a few hundred values"),
    ("CONSTANT ROW", "no table"),
    ("(subquery", "what an inner statement has found"),
    ("closing", "one row"),
    ("audit", "one row"),
    ("settings", "one row"),
    ("state", "a row for each name"),
    ("deletions USING INDEX deletions_pending", "only what is pending, and at most one row"),
];

/// Statements that walk through a whole table, and why they may.
const WHOLE: &[(&str, &str)] = &[
    ("SELECT count(*) FROM copies", "at most 10,000 rows, when an object starts and in its alarm"),
    (
        "UPDATE copies SET due_at = max(?, written_at + ?), listed_until = 0",
        "at most 10,000 rows, all of an epoch that is over",
    ),
];

/// Reads that the history of [`World`] does not make, lists with each filter.
fn reads() -> Vec<Command> {
    let mut reads = vec![
        Command::SaveAgent(NewAgent {
            agent_id: AgentId::new(Timestamp::EPOCH, [9; 10]),
            external_id: None,
            name: Name::new("named").expect("a name"),
            metadata: None,
        }),
        Command::ReadEndUser(ReadEndUser { user_id: id("ada") }),
        Command::ExportPart(ExportPart::First { user_id: id("ada") }),
        Command::ReadAgent(ReadAgent { agent: tutor() }),
        Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::ExternalId(id("ada")) }),
        Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::ExternalId(id("named")) }),
        Command::ReadUsage(ReadUsage),
        Command::ReadUserUsage(ReadUserUsage { user_id: id("ada") }),
        Command::ListAgents(ListAgents { after: 0, offset: 0, limit: 10 }),
        Command::ListKeys(ListKeys { after: None, limit: 10 }),
        Command::ReadEvents(ReadEvents { after: None, types: Vec::new(), limit: 10 }),
    ];
    for user_id in [None, Some(id("ada"))] {
        for agent in [None, Some(tutor())] {
            let list = ListRelationships { user_id: user_id.clone(), agent, after: 0, limit: 10 };
            reads.push(Command::ListRelationships(list));
        }
    }
    for r#type in [None, Some(PrincipalType::Human), Some(PrincipalType::Agent)] {
        reads.push(Command::ListPrincipals(ListPrincipals { r#type, from: PrincipalsFrom::Start, limit: 10 }));
    }
    reads
}

#[test]
fn no_statement_walks_through_a_table_that_grows() {
    let object = Sqlite::new();
    *object.recorded.borrow_mut() = Some(BTreeSet::new());
    let mut world = World::lived_in(object);
    for (number, read) in (100..).zip(reads()) {
        world.call(100, number, None, read);
    }
    // The platform repeats a call. The object looks in its log whether the call has made the version that is there.
    for if_match in [None, Some(Precondition::Versions(Vec::new()))] {
        let change = EndUserChange::Replace { display_name: Some(Name::new("Joe").ok()), metadata: None };
        world.call(100, 99, None, Command::UpdateEndUser(UpdateEndUser { user_id: id("joe"), change, if_match }));
    }
    let statements = world.object.recorded.borrow_mut().take().unwrap_or_default();
    println!("{} statements", statements.len());
    assert!(statements.len() > 60, "the history runs nearly all of them");
    let mut walks = Vec::new();
    let migrations = ["CREATE", "ALTER", "INSERT INTO listing_position\n", "INSERT INTO last_swept_event SELECT"];
    let is_migration = |statement: &str| migrations.iter().any(|beginning| statement.starts_with(beginning));
    let may_walk = |statement: &str| WHOLE.iter().any(|(whole, _)| *whole == statement);
    for statement in statements.iter().map(|statement| statement.trim_start()) {
        if is_migration(statement) || may_walk(statement) {
            continue;
        }
        let plan = world.object.plan(statement);
        // All copies of a tenant have one epoch.
        let walks_through = |step: &&str| step.starts_with("SCAN") || step.ends_with("(epoch=?)");
        for step in plan.split("; ").filter(walks_through) {
            if !EXCEPTIONS.iter().any(|(part, _)| step.contains(part)) {
                walks.push(format!("{step}: {statement}"));
            }
        }
    }
    assert!(walks.is_empty(), "{walks:#?}");
}
