//! A name that nobody has → those that are much like it.

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
}
