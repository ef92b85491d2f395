//! A name that nobody has → those that are much like it; and names that match a pattern.

/// Names of a suggestion at most.
const MOST: usize = 5;

/// Returns names that are much like one, the likest first.
pub(crate) fn nearest<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let limit = name.len() / 3 + 1;
    let mut found: Vec<(usize, &str)> = all
        .into_iter()
        .filter(|other| name.len().abs_diff(other.len()) <= limit || other.contains(name))
        .map(|other| {
            let part = usize::from(!other.contains(name));
            (part * distance(name, other), other)
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort_by_key(|(distance, other)| (*distance, other.len(), *other));
    found.dedup();
    let names = found.into_iter().take(MOST);
    names.map(|(_, name)| name.to_owned()).collect()
}

/// Counts the letters to change, insert or remove until one name is the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut next = vec![index + 1];
        for (column, (candidate, pair)) in other.bytes().zip(row.windows(2)).enumerate() {
            let (diagonal, above) = match pair {
                [diagonal, above] => (*diagonal, *above),
                _ => (0, 0),
            };
            let left = next.get(column).copied().unwrap_or(0);
            let changed = diagonal + usize::from(candidate != letter);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Returns true if a name matches a pattern, in which `*` stands for any letters and `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // The place behind the last `*`, and how much of the name that stands for.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), name.get(read)) {
            (Some(b'*'), _) => {
                star = Some((at + 1, read));
                at += 1;
            }
            (Some(b'?'), _) => (at, read) = (at + 1, read + 1),
            (Some(wanted), Some(found)) if wanted == found => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((behind, until)) => {
                    star = Some((behind, until + 1));
                    (at, read) = (behind, until + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_names_come_first() {
        let all = [
            "tcp_sendmsg",
            "tcp_recvmsg",
            "udp_sendmsg",
            "tcp_sendmsg_locked",
            "vfs_read",
        ];
        assert_eq!(nearest("tcp_sendmesg", all)[0], "tcp_sendmsg");
        assert_eq!(nearest("sendmsg_lock", all), ["tcp_sendmsg_locked"]);
        assert!(nearest("zzzz", all).is_empty());
    }

    #[test]
    fn a_pattern_matches_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("tcp_*", "tcp_sendmsg", true),
            ("*send*", "tcp_sendmsg", true),
            ("tcp_?endmsg", "tcp_sendmsg", true),
            ("tcp_sendmsg", "tcp_sendmsg", true),
            ("*", "", true),
            ("*a*b", "xaxxb", true),
            ("tcp", "tcp_sendmsg", false),
            ("*x", "tcp_sendmsg", false),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
