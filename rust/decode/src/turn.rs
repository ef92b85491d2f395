//! One call and the state that decoding its bytes changes: what the request and response streams work on.

use super::Totals;
use super::context::Context;
use super::pairing::Pairing;

/// One call of a connection being decoded.
///
/// `At` tells the call: a [`Read`](super::requests::Read) for requests, the time of the send in ns for responses.
pub(super) struct Turn<'a, At> {
    /// State shared by all connections; decoded events go here.
    pub(super) context: &'a mut Context,
    /// The connection's open requests.
    pub(super) pairing: &'a mut Pairing,
    /// The connection's byte and loss counts.
    pub(super) totals: &'a mut Totals,
    /// The call that moved the bytes.
    pub(super) at: At,
}
