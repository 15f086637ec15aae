//! What user space decides about connections, told to the kernel side.

use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use tracer_common::state::{VerdictKey, verdict};

use super::Error;
use crate::event::{ConnectionKey, Verdict};

/// The map of verdicts. It forgets what was used least recently, as the map of connections does.
pub(super) type Map = HashMap<MapData, [u64; 2], u32>;

/// Tells the kernel side which connections to hand over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Verdicts {
    map: Arc<Mutex<Map>>,
}

impl Verdicts {
    pub(super) fn new(map: Map) -> Self {
        Self {
            map: Arc::new(Mutex::new(map)),
        }
    }

    /// Sets the verdict of a connection; the next call on it sees it. The first verdict stays. A connection that is gone
    /// meanwhile is no error.
    pub fn set(&self, connection: ConnectionKey, verdict: Verdict) -> Result<(), Error> {
        let key = VerdictKey {
            address: connection.address,
            process: connection.process.pid,
            generation: connection.generation,
        };
        let value = match verdict {
            Verdict::Want => verdict::WANT,
            Verdict::Ignore => verdict::IGNORE,
        };
        let key: [u64; 2] = zerocopy::transmute!(key);
        self.map
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, value, 0)
            .map_err(Error::Map)
    }
}
