//! Request lines that memcached treats in unexpected ways.

fn long(prefix: &str, key: usize, suffix: &str) -> Vec<u8> {
    format!("{prefix}{}{suffix}", "k".repeat(key)).into_bytes()
}

/// Returns every unusual line, with the data block that its author meant to send.
pub(crate) fn cases() -> Vec<Vec<u8>> {
    let mut cases: Vec<Vec<u8>> = LINES.iter().map(|line| line.to_vec()).collect();
    for key in [250, 251] {
        for (prefix, suffix) in [
            ("set ", " 0 0 3\r\nabc\r\n"),
            ("set ", " 0 0 3 noreply\r\nabc\r\n"),
            ("get ", "\r\n"),
            ("gat 0 ", "\r\n"),
            ("delete ", "\r\n"),
            ("delete ", " noreply\r\n"),
            ("incr ", " 1\r\n"),
            ("touch ", " 1 noreply\r\n"),
            ("mg ", " q\r\n"),
            ("ms ", " 3 q\r\nabc\r\n"),
            ("md ", "\r\n"),
            ("ma ", "\r\n"),
            ("me ", "\r\n"),
        ] {
            cases.push(long(prefix, key, suffix));
        }
    }
    for opaque in [31, 32] {
        cases.push(long("ms k 3 O", opaque, "\r\nabc\r\n"));
        cases.push(long("mg k O", opaque, "\r\n"));
        cases.push(long("md k O", opaque, "\r\n"));
        cases.push(long("ma k O", opaque, "\r\n"));
    }
    cases.push(multiget(100));
    cases.push(multiget(23));
    let mut large = b"set k 0 0 2000000\r\n".to_vec();
    large.resize(large.len() + 2_000_000, b'v');
    large.extend_from_slice(b"\r\n");
    cases.push(large);
    cases
}

fn multiget(keys: usize) -> Vec<u8> {
    let mut line = b"get".to_vec();
    for key in 0..keys {
        line.extend_from_slice(format!("  absent{key}").as_bytes());
    }
    line.extend_from_slice(b"  \r\n");
    line
}

/// Request lines, with the data that their author meant to send. An empty server answers each with at most one line.
const LINES: &[&[u8]] = &[
    b"set k 0 0 3\r\nabc\r\n",
    b"set k 0 0 3\nabc\r\n",
    b"  set   k  0   0  3  \r\nabc\r\n",
    b"set k 0 0 3 noreply\r\nabc\r\n",
    b"set k 0 0 3 junk\r\nabc\r\n",
    b"set k 0 0 3 junk noreply\r\nabc\r\n",
    b"set k 0 0 3 noreply junk\r\nabc\r\n",
    b"set k 0 0 noreply\r\nabc\r\n",
    b"set k 0 0\r\nabc\r\n",
    b"set k x 0 3\r\nabc\r\n",
    b"set k 0 x 3\r\nabc\r\n",
    b"set k 0 0 x\r\nabc\r\n",
    b"set k 0 0 -1\r\nabc\r\n",
    b"set k -1 0 3\r\nabc\r\n",
    b"set k +1 +0 +3\r\nabc\r\n",
    b"set k 4294967297 0 3\r\nabc\r\n",
    b"set k 0 0 4294967299\r\nabc\r\n",
    b"set k 0 0 2147483646\r\nabc\r\n",
    b"set k 0 0 99999999999999999999\r\nabc\r\n",
    b"set k 0 -1 3\r\nabc\r\n",
    b"set k 0 0 3\t\r\nabc\r\n",
    b"set k 0 0 0\r\n\r\n",
    b"set k 0 0 3\r\nabcdef\r\n",
    b"set k 0 0 5\r\nabc\r\n",
    b"set k 0 0 3\0 junk\r\nabc\r\n",
    b"add k 0 0 3\r\nabc\r\n",
    b"replace absent 0 0 3\r\nabc\r\n",
    b"append absent 0 0 3\r\nabc\r\n",
    b"prepend absent 0 0 3 noreply\r\nabc\r\n",
    b"cas absent 0 0 3 5\r\nabc\r\n",
    b"cas absent 0 0 3 5 noreply\r\nabc\r\n",
    b"cas absent 0 0 3\r\nabc\r\n",
    b"cas absent 0 0 3 noreply\r\nabc\r\n",
    b"cas absent 0 0 3 x\r\nabc\r\n",
    b"cas absent 0 0 3 5 x y\r\nabc\r\n",
    b"SET k 0 0 3\r\nabc\r\n",
    b"get absent\r\n",
    b"get absent\n",
    b"get\r\n",
    b"get \r\n",
    b"gets absent absent\r\n",
    b"bget absent\r\n",
    b"gat 0 absent\r\n",
    b"gat 0\r\n",
    b"gat x absent\r\n",
    b"gats\r\n",
    b"delete absent\r\n",
    b"delete absent 0\r\n",
    b"delete absent 0 noreply\r\n",
    b"delete absent noreply\r\n",
    b"delete absent 1\r\n",
    b"delete absent 1 noreply\r\n",
    b"delete absent 0 0 noreply\r\n",
    b"delete\r\n",
    b"incr absent 1\r\n",
    b"incr absent 1 noreply\r\n",
    b"incr absent\r\n",
    b"incr absent noreply\r\n",
    b"incr absent x\r\n",
    b"incr absent -1\r\n",
    b"decr absent 18446744073709551615\r\n",
    b"decr absent 18446744073709551616\r\n",
    b"touch absent 0\r\n",
    b"touch absent x\r\n",
    b"touch absent x noreply\r\n",
    b"touch absent\r\n",
    b"flush_all\r\n",
    b"flush_all noreply\r\n",
    b"flush_all 0\r\n",
    b"flush_all 0 noreply\r\n",
    b"flush_all x\r\n",
    b"flush_all 0 x\r\n",
    b"flush_all 0 x noreply\r\n",
    b"verbosity 0\r\n",
    b"verbosity 0 noreply\r\n",
    b"verbosity noreply\r\n",
    b"verbosity\r\n",
    b"verbosity 0 1 2\r\n",
    b"version\r\n",
    b"version junk noreply\r\n",
    b"stats reset\r\n",
    b"stats detail\r\n",
    b"stats nonsense\r\n",
    b"quit\r\n",
    b"quit noreply\r\n",
    b"\r\n",
    b"\n",
    b"   \r\n",
    b"x\r\n",
    b"nonsense\r\n",
    b"nonsense noreply\r\n",
    b"mx absent\r\n",
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1\r\n",
    b"get / HTTP/1.1\r\n",
    b"do HTTP/1.1\r\n",
    b"mm HTTP/1.1\r\n",
    b"post HTTP/1.1\r\n",
    b"cache_memlimit 64\r\n",
    b"cache_memlimit 64 noreply\r\n",
    b"cache_memlimit noreply\r\n",
    b"cache_memlimit\r\n",
    b"lru mode noreply\r\n",
    b"lru\r\n",
    b"lru_crawler noreply\r\n",
    b"slabs automove 0 noreply\r\n",
    b"slabs automove\r\n",
    b"slabs\r\n",
    b"shutdown noreply\r\n",
    b"mn\r\n",
    b"mn junk\r\n",
    b"me absent\r\n",
    b"me\r\n",
    b"me Zm9 b\r\n",
    b"me Zm9v b\r\n",
    b"mg absent\r\n",
    b"mg absent v q\r\n",
    b"mg absent v q q\r\n",
    b"mg absent y\r\n",
    b"mg absent Tx q\r\n",
    b"mg absent T q\r\n",
    b"mg absent E1\r\n",
    b"mg absent Zz\r\n",
    b"mg absent \xff\r\n",
    b"mg absent MX q\r\n",
    b"mg absent MXX q\r\n",
    b"mg Zm9v b k\r\n",
    b"mg Zm9 b k\r\n",
    b"mg absent s t c f l h u k Oo b1 P1 L1\r\n",
    b"mg absent s t c f l h u k Oo P L C1 F1 M1 J1 D1 I\r\n",
    b"mg absent s t c f l h u k Oo P L C1 F1 M1 J1 D1 I q\r\n",
    b"mg absent s t c f l h u k Oo P L C1 F1 M1 J1 D1 I q v\r\n",
    b"mg\r\n",
    b"ms k 3\r\nabc\r\n",
    b"ms k 3 q\r\nabc\r\n",
    b"ms k\r\nabc\r\n",
    b"ms\r\nabc\r\n",
    b"ms k x\r\nabc\r\n",
    b"ms k -1\r\nabc\r\n",
    b"ms k S3\r\nabc\r\n",
    b"ms k 3 S3\r\nabc\r\n",
    b"ms k 3 T0 T0\r\nabc\r\n",
    b"ms k 3 Tx q\r\nabc\r\n",
    b"ms k 3 Fx\r\nabc\r\n",
    b"ms k 3 C\r\nabc\r\n",
    b"ms k 3 ME\r\nabc\r\n",
    b"ms k 3 MX\r\nabc\r\n",
    b"ms k 3 MSS\r\nabc\r\n",
    b"ms k 3 M\r\nabc\r\n",
    b"ms absent 3 MA q\r\nabc\r\n",
    b"ms Zm9 3 b\r\nabc\r\n",
    b"ms Zm9v 3 b k c\r\nabc\r\n",
    b"ms k 3\r\nabcde\r\n",
    b"ms k 3 q\r\nabcde\r\n",
    b"ms k 3 s t c f l h u k Oo P L C1 F1 MS J1 D1 I q v\r\nabc\r\n",
    b"ms absent 3 s t c f l h u k Oo P L F1 MS J1 D1\r\nabc\r\n",
    b"ms absent 3 s t c f l h u k Oo P L F1 MS J1 D1 I\r\nabc\r\n",
    b"md absent\r\n",
    b"md absent q\r\n",
    b"md absent q q\r\n",
    b"md absent C\r\n",
    b"ma absent\r\n",
    b"ma absent MX\r\n",
    b"ma absent MD D5\r\n",
    b"ma absent Dx q\r\n",
    b"ma absent N0 q\r\n",
];

/// Quiet requests that are answered because their outcome is not the ordinary one, which the line alone does not show.
pub(crate) const ANSWERED_ALTHOUGH_QUIET: &[&[u8]] = &[
    b"ms k 3 q\r\nabcde\r\n",
    b"ms absent 3 MA q\r\nabc\r\n",
    b"md absent q\r\n",
    b"ma absent N0 q\r\n",
];
