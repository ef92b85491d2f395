//! Servers of a recording and targets by name → the target of each connection.

use std::collections::{BTreeMap, HashMap};

use crate::{Error, Result};

/// Targets of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One target.
    One {
        /// Its address.
        target: String,
        /// Name of the server whose connections are replayed; `None` if only one was recorded.
        server: Option<String>,
    },
    /// A target for each server: the server's name, and the target's address. Other servers are left out.
    OfServers(Vec<(String, String)>),
}

impl From<&str> for Targets {
    fn from(target: &str) -> Self {
        Self::One {
            target: target.to_owned(),
            server: None,
        }
    }
}

impl From<&String> for Targets {
    fn from(target: &String) -> Self {
        target.as_str().into()
    }
}

/// A server that was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedServer {
    /// Name: its port, or its address or path. No two servers of a recording have the same.
    pub name: String,
    /// Its share of the request bytes, 0…1; `None` if it is not known.
    pub share: Option<f64>,
}

/// Servers of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Servers {
    /// Servers by their ordinals.
    pub by_ordinal: BTreeMap<u32, RecordedServer>,
    /// Ordinal of each connection's server. A connection without one belongs to the only server.
    pub of_connection: HashMap<u32, u32>,
}

impl Servers {
    /// Returns the ordinal of the server called `name`, which may be its port alone if no other has that port.
    fn find(&self, name: &str) -> Result<u32> {
        let all = || self.by_ordinal.iter();
        let named = all().find(|(_, server)| server.name == name);
        let mut by_port = all().filter(|(_, server)| {
            let port = server.name.rsplit_once(':').map(|(_, port)| port);
            port == Some(name)
        });
        let only = by_port.next().filter(|_| by_port.next().is_none());
        named
            .or(only)
            .map(|(ordinal, _)| *ordinal)
            .ok_or_else(|| Error::UnknownServer {
                name: name.to_owned(),
                servers: self.describe(),
            })
    }

    /// Lists names and shares.
    fn describe(&self) -> String {
        let one = |server: &RecordedServer| match server.share {
            Some(share) => format!("{} ({:.1} %)", server.name, share * 100.0),
            None => server.name.clone(),
        };
        let all: Vec<String> = self.by_ordinal.values().map(one).collect();
        all.join(", ")
    }
}

/// Target of each connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// Addresses of the targets, each with the names of its servers.
    pub(crate) targets: Vec<(String, Vec<String>)>,
    /// Index of each server's target; `None` if all connections have the first target.
    of_server: Option<HashMap<u32, u16>>,
    of_connection: HashMap<u32, u32>,
}

impl Routes {
    /// Finds the targets of the servers.
    pub(crate) fn new(servers: &Servers, targets: &Targets) -> Result<Self> {
        let mut routes = Self {
            of_connection: servers.of_connection.clone(),
            ..Self::default()
        };
        match targets {
            Targets::One {
                target,
                server: None,
            } => {
                if servers.by_ordinal.len() > 1 {
                    return Err(Error::SeveralServers {
                        servers: servers.describe(),
                        count: servers.by_ordinal.len(),
                    });
                }
                routes.targets.push((target.clone(), Vec::new()));
            }
            Targets::One {
                target,
                server: Some(name),
            } => routes.add(servers, name, target)?,
            Targets::OfServers(each) => {
                for (name, target) in each {
                    routes.add(servers, name, target)?;
                }
            }
        }
        Ok(routes)
    }

    fn add(&mut self, servers: &Servers, name: &str, target: &str) -> Result<()> {
        let ordinal = servers.find(name)?;
        let of_server = self.of_server.get_or_insert_default();
        if of_server.contains_key(&ordinal) {
            return Err(Error::ServerTwice {
                name: name.to_owned(),
            });
        }
        let known = self.targets.iter().position(|(known, _)| known == target);
        let index = known.unwrap_or_else(|| {
            self.targets.push((target.to_owned(), Vec::new()));
            self.targets.len() - 1
        });
        if let Some((_, names)) = self.targets.get_mut(index) {
            names.push(name.to_owned());
        }
        of_server.insert(ordinal, u16::try_from(index).unwrap_or(u16::MAX));
        Ok(())
    }

    /// Returns the index of a connection's target; `None` if its server is left out.
    pub(crate) fn target(&self, connection: u32) -> Option<u16> {
        let Some(of_server) = &self.of_server else {
            return Some(0);
        };
        let server = self.of_connection.get(&connection)?;
        of_server.get(server).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Servers {
        let each = names.iter().zip(0..).map(|(name, ordinal)| {
            let server = RecordedServer {
                name: (*name).to_owned(),
                share: Some(0.25),
            };
            (ordinal, server)
        });
        Servers {
            by_ordinal: each.collect(),
            of_connection: HashMap::from([(7, 0), (8, 1), (9, 2)]),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> Targets {
        let pairs = pairs.iter();
        Targets::OfServers(pairs.map(|(a, b)| ((*a).into(), (*b).into())).collect())
    }

    #[test]
    fn each_connection_goes_to_its_servers_target() {
        let recorded = servers(&["11211", "10.0.0.1:11212", "/run/m.sock"]);
        let targets = map(&[("11212", "b:1"), ("/run/m.sock", "a:1"), ("11211", "b:1")]);
        let routes = Routes::new(&recorded, &targets).unwrap();
        assert_eq!(routes.targets.len(), 2);
        assert_eq!(
            [7, 8, 9].map(|one| routes.target(one)),
            [Some(0), Some(0), Some(1)]
        );
        let one = Targets::One {
            target: "a:1".into(),
            server: Some("11211".into()),
        };
        let routes = Routes::new(&recorded, &one).unwrap();
        assert_eq!(
            [7, 8, 9].map(|one| routes.target(one)),
            [Some(0), None, None]
        );
        let routes = Routes::new(&servers(&["11211"]), &"a:1".into()).unwrap();
        assert_eq!(routes.target(12), Some(0));
    }

    #[test]
    fn a_server_without_a_clear_target_is_an_error_that_names_all() {
        let recorded = servers(&["11211", "10.0.0.1:5", "10.0.0.2:5"]);
        let refused = |targets: &Targets| Routes::new(&recorded, targets).unwrap_err().to_string();
        let several = refused(&"a:1".into());
        assert!(
            several.contains("11211 (25.0 %), 10.0.0.1:5 (25.0 %)"),
            "{several}"
        );
        assert!(refused(&map(&[("5", "a:1")])).contains("no server is called `5`"));
        assert!(refused(&map(&[("11211", "a:1"), ("11211", "b:1")])).contains("two targets"));
    }
}
