//! Payload → whether it is memcached's: how connections are found whose port was not asked for.

use membench_protocol::binary::REQUEST_MAGIC;

use crate::resync;

/// True if bytes are what a client of memcached sends at the start of a request: a whole line that memcached accepts, or
/// the header of a binary request.
pub(super) fn begins_requests(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(&REQUEST_MAGIC) => membench_protocol::binary::begins_request(bytes, true),
        Some(_) => resync::begins_request(bytes, true),
        None => false,
    }
}
