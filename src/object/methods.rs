//! What the edge calls of the object. Calls and replies are bytes.

use std::rc::Rc;

use super::platform::ObjectPlatform;
use super::state::ObjectState;
use crate::organization::protocol::{self, Answer, Rejection, Reply};
use crate::projection::StoreError;

impl<P: ObjectPlatform> ObjectState<P> {
    /// Executes a call and answers as soon as it is committed. It is synchronous, so that even a trap is an exception
    /// for the caller.
    pub fn handle(state: &Rc<Self>, call: &[u8]) -> Result<Vec<u8>, StoreError> {
        write(&Self::commit(state, call)?)
    }

    /// Holds a reply back until the listing has every change up to the call, and notes in the reply
    /// whether it has.
    pub async fn listed(state: Rc<Self>, reply: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let mut reply = read(&reply)?;
        if !matches!(reply.outcome, Err(Rejection::Denied(_))) {
            reply.listed = Some(Self::list_everything(&state).await);
        }
        write(&reply)
    }

    /// Continues the audit that a call has begun, as long as a caller may wait, and answers with what it
    /// has found so far.
    pub async fn audited(state: Rc<Self>, reply: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let mut reply = read(&reply)?;
        // The alarm tries again what cannot be reached now.
        if let Err(error) = state.audit().await {
            state.log_failure("Audit", &error);
        }
        // The object may have been closed meanwhile, or before.
        let report = state.transaction(|core| core.report(state.platform.sql(), state.platform.now()))?;
        reply.outcome = match state.closing()? {
            Some(_) => Err(Rejection::Closed),
            None => Ok(Answer::StartAudit(report)),
        };
        write(&reply)
    }
}

fn read(reply: &[u8]) -> Result<Reply, StoreError> {
    protocol::decode(reply).map_err(|error| StoreError(error.to_string()))
}

fn write(reply: &Reply) -> Result<Vec<u8>, StoreError> {
    protocol::encode(reply).map_err(|error| StoreError(error.to_string()))
}
