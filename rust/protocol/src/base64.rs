//! Base64 keys of the meta protocol ↔ their bytes, by memcached's lenient rules: characters outside the alphabet are
//! skipped, the rest must be whole groups of four, and everything after padding is ignored.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const NONE: u8 = 0x80;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut index = 0;
    let mut value = 0_u8;
    while index < ALPHABET.len() {
        table[ALPHABET[index] as usize] = value;
        index += 1;
        value += 1;
    }
    table[b'=' as usize] = 0;
    table
}

/// Decodes `text` into `out` and returns the decoded size; `None` if memcached would refuse the key or `out` is too
/// short.
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let count = text.iter().filter(|byte| value(**byte) != NONE).count();
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    let mut digits = text.iter().copied().filter(|byte| value(*byte) != NONE);
    let mut size = 0;
    while let (Some(a), Some(b), Some(c), Some(d)) =
        (digits.next(), digits.next(), digits.next(), digits.next())
    {
        let group = [a, b, c, d];
        let padding = group.map(|byte| usize::from(byte == b'=')).iter().sum();
        let kept = 3_usize.checked_sub(padding).filter(|kept| *kept > 0)?;
        out.get_mut(size..size + kept)?
            .copy_from_slice(&bytes(group)[..kept]);
        size += kept;
        if padding > 0 {
            break;
        }
    }
    Some(size)
}

/// Encodes `bytes` into `out` and returns the encoded size; `None` if `out` is too short.
pub fn encode(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    let size = bytes.len().div_ceil(3) * 4;
    let (groups, _) = out.get_mut(..size)?.as_chunks_mut::<4>();
    for (chunk, group) in bytes.chunks(3).zip(groups) {
        let at = |index: usize| chunk.get(index).copied().unwrap_or(0);
        let digit = |index: u8| ALPHABET[usize::from(index & 0x3f)];
        *group = [
            digit(at(0) >> 2),
            digit(at(0) << 4 | at(1) >> 4),
            digit(at(1) << 2 | at(2) >> 6),
            digit(at(2)),
        ];
        group[chunk.len() + 1..].fill(b'=');
    }
    Some(size)
}

const fn value(byte: u8) -> u8 {
    VALUES[byte as usize]
}

const fn bytes([a, b, c, d]: [u8; 4]) -> [u8; 3] {
    let (a, b, c, d) = (value(a), value(b), value(c), value(d));
    [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_memcached_does() {
        let table: &[(&[u8], Option<&[u8]>)] = &[
            (b"Zm9v", Some(b"foo")),
            (b"Zm9vYg==", Some(b"foob")),
            (b"Zm9vYmE=", Some(b"fooba")),
            (b"Zm-9v", Some(b"foo")),
            (b"Zg==Zm9v", Some(b"f")),
            (b"Zm9", None),
            (b"....", None),
            (b"====", None),
            (b"", None),
        ];
        for (text, expected) in table {
            let mut out = [0; 16];
            let size = decode(text, &mut out);
            assert_eq!(size.map(|size| &out[..size]), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_key_too_long_for_the_output_is_refused() {
        assert_eq!(decode(b"Zm9v", &mut [0; 2]), None);
        assert_eq!(encode(b"foo", &mut [0; 3]), None);
    }

    #[test]
    fn every_encoded_key_decodes_to_itself() {
        let bytes: [u8; 256] = core::array::from_fn(|index| u8::try_from(index).unwrap_or(0));
        for size in 1..bytes.len() {
            let (mut text, mut back) = ([0; 400], [0; 300]);
            let length = encode(&bytes[..size], &mut text).expect("the text fits");
            assert_eq!(decode(&text[..length], &mut back), Some(size));
            assert_eq!(back[..size], bytes[..size]);
        }
    }
}
