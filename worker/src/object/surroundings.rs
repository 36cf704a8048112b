//! The platform around one object.

use wasm_bindgen::prelude::*;
use worker::Env;

use crate::executor;
use crate::platform::{self, D1, Kv, ObjectSql};
use rollcall::directory::timestamp::Timestamp;
use rollcall::object::platform::ObjectPlatform;
use rollcall::organization::sql::SqlError;
use rollcall::projection::StoreError;
use rollcall::refusal::Refusal;

pub struct Surroundings {
    context: JsValue,
    storage: JsValue,
    env: Env,
    sql: ObjectSql,
}

impl Surroundings {
    pub fn new(state: &JsValue, env: Env) -> Result<Self, JsValue> {
        let storage = js_sys::Reflect::get(state, &JsValue::from_str("storage"))?;
        let sql = js_sys::Reflect::get(&storage, &JsValue::from_str("sql"))?.unchecked_into();
        Ok(Self { context: state.clone(), storage, env, sql })
    }
}

impl ObjectPlatform for Surroundings {
    type Sql = ObjectSql;
    type Database = D1;
    type Cache = Kv;

    fn now(&self) -> Timestamp {
        platform::now()
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        platform::random()
    }

    fn sql(&self) -> &ObjectSql {
        &self.sql
    }

    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        platform::transaction(&self.storage, body)
    }

    fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError> {
        platform::set_alarm(&self.storage, at_ms).map_err(|error| SqlError(platform::describe(&error)))
    }

    async fn alarm_at_ms(&self) -> Result<Option<i64>, StoreError> {
        platform::alarm_at_ms(&self.storage).await.map_err(|error| StoreError(platform::describe(&error)))
    }

    fn delete_all(&self) -> Result<(), StoreError> {
        platform::delete_all(&self.storage).map_err(|error| StoreError(platform::describe(&error)))
    }

    fn database(&self) -> Result<D1, StoreError> {
        D1::of(&self.env)
    }

    fn cache(&self) -> Result<Kv, StoreError> {
        Kv::of(&self.env)
    }

    fn pause(&self, millis: u32) -> impl Future<Output = ()> {
        executor::pause(millis)
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        executor::spawn(work);
    }

    fn announce(&self) {
        platform::announce(&self.context);
    }

    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }

    fn log_error(&self, line: &str) {
        worker::console_error!("{line}");
    }
}
