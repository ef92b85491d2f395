//! A selection, and the listeners found for it → the reason why a recording has no connection in it.

use crate::{Followed, Side};

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
