//! A selection, and what was found instead → the reason why a recording has no connection in it.

use membench_decode::packet::{PortTraffic, Sightings};

use crate::{Followed, Side};

/// Most ports that are named.
const MOST_NAMED: usize = 4;

/// Explains why nothing was recorded. `listened` is true if anything listened where it was asked for.
pub(crate) fn reason(followed: &Followed, listened: bool) -> String {
    let place = places(followed);
    match followed.side {
        Side::Client => format!(
            "nothing here was connected to {place}{}",
            narrowed(followed)
        ),
        Side::Server if listened => {
            format!("nothing was sent to {place}{}", narrowed(followed))
        }
        Side::Server => format!(
            "no server was found: nothing listened on {place}{}",
            narrowed(followed)
        ),
    }
}

/// Explains why nothing was recorded from `packets` packets, and names what there was instead. `interface` is the source
/// if its packets are filtered as they pass.
pub(crate) fn reason_of_packets(
    followed: &Followed,
    sightings: &Sightings,
    packets: u64,
    interface: Option<&str>,
) -> String {
    let wanted = if followed.any_port {
        "no memcached".to_owned()
    } else {
        format!("nothing of {}", places(followed))
    };
    if packets == 0
        && let Some(interface) = interface
    {
        let others = if followed.any_port {
            ""
        } else {
            ", where packets of other ports are left out"
        };
        return format!("{wanted} passed {interface}{others}");
    }
    if packets == 0 {
        return format!("{wanted} was captured: there is no packet");
    }
    let mut found: Vec<String> = sightings
        .ports()
        .iter()
        .take(MOST_NAMED)
        .map(describe_port)
        .collect();
    let encapsulations = sightings.encapsulations();
    found.extend(encapsulations.map(|(kind, count)| format!("{count} inside {}", kind.name())));
    if found.is_empty() {
        found.push("neither TCP nor UDP".to_owned());
    }
    format!(
        "{wanted} was captured; of {packets} packets: {}",
        found.join(", ")
    )
}

fn describe_port(traffic: &PortTraffic) -> String {
    let &PortTraffic {
        port,
        is_udp,
        packets,
        bytes,
        is_memcached,
    } = traffic;
    let kind = if is_udp { "UDP port" } else { "port" };
    let like = if is_memcached {
        ", which looks like memcached"
    } else {
        ""
    };
    format!("{packets} of {kind} {port} ({bytes} B{like})")
}

/// Lists ports and paths as one would say them.
fn places(followed: &Followed) -> String {
    let ports = followed.ports.iter().map(|port| format!("port {port}"));
    let paths = followed.sockets.iter();
    let paths = paths.map(|path| path.display().to_string());
    ports.chain(paths).collect::<Vec<_>>().join(" or ")
}

fn narrowed(followed: &Followed) -> &'static str {
    let Followed {
        side: _,
        ports: _,
        any_port: _,
        sockets: _,
        pids,
        pid_namespace: _,
        cgroups,
        network_namespaces,
    } = followed;
    if pids.is_empty() && cgroups.is_empty() && network_namespaces.is_empty() {
        ""
    } else {
        ", by the processes, control groups and network namespaces that were asked for"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_a_filter_left_out_are_not_denied() {
        let none = Sightings::default();
        let any = Followed {
            any_port: true,
            ..Followed::default()
        };
        let ports = Followed::ports(&[11211]);
        for (followed, interface, expected) in [
            (
                &ports,
                Some("ebpf:eth0"),
                "nothing of port 11211 passed ebpf:eth0, where packets of other ports are left out",
            ),
            (&any, Some("ebpf:eth0"), "no memcached passed ebpf:eth0"),
            (
                &ports,
                None,
                "nothing of port 11211 was captured: there is no packet",
            ),
        ] {
            assert_eq!(reason_of_packets(followed, &none, 0, interface), expected);
        }
    }

    #[test]
    fn the_reason_names_what_was_looked_for_and_where() {
        let ports = Followed::ports(&[11211, 11212]);
        let narrowed = Followed {
            pids: vec![7],
            sockets: vec!["/run/mc.sock".into()],
            ..Followed::default()
        };
        let client = Followed {
            side: Side::Client,
            ..Followed::ports(&[1])
        };
        for (followed, listened, expected) in [
            (
                &ports,
                false,
                "no server was found: nothing listened on port 11211 or port 11212",
            ),
            (&ports, true, "nothing was sent to port 11211 or port 11212"),
            (
                &narrowed,
                false,
                "no server was found: nothing listened on /run/mc.sock, by the processes, \
                 control groups and network namespaces that were asked for",
            ),
            (&client, false, "nothing here was connected to port 1"),
        ] {
            assert_eq!(reason(followed, listened), expected);
        }
    }
}
