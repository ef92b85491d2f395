//! Ordinals of clients → their addresses, for the operator's own terminal: held in memory only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Number of slots. The slot of an ordinal remembers the last address noted there.
const SLOTS: u32 = 1 << 16;

/// Addresses of recently seen clients. Clones share them.
#[derive(Clone, Default)]
pub struct Addresses(Arc<Mutex<HashMap<u32, (u32, IpAddr)>>>);

impl std::fmt::Debug for Addresses {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Addresses")
    }
}

impl Addresses {
    /// Remembers the address of a client.
    pub fn note(&self, client: u32, address: IpAddr) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(client % SLOTS, (client, address));
    }

    /// Returns the address of a client, if it is remembered.
    pub fn get(&self, client: u32) -> Option<IpAddr> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (there, address) = known.get(&(client % SLOTS))?;
        (*there == client).then_some(*address)
    }

    /// Forgets every address.
    pub fn forget(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_latest_client_of_a_slot_is_remembered() {
        let addresses = Addresses::default();
        let address = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        for client in [5, 6, 5 + SLOTS] {
            addresses.note(client, address(client));
        }
        assert_eq!(addresses.get(5), None);
        assert_eq!(addresses.get(6), Some(address(6)));
        assert_eq!(addresses.get(5 + SLOTS), Some(address(5 + SLOTS)));
        assert_eq!(format!("{addresses:?}"), "Addresses");
        addresses.forget();
        assert_eq!(addresses.get(6), None);
    }
}
