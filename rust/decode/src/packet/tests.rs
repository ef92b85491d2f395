//! Hand-written packets → the findings of [`Flows`].

use super::testing::{MS, PORT, Plain, S, Segment, US, client, request, response, take};
use super::*;
use membench_event::Direction::{Request, Response};

mod connections;
mod datagrams;
mod odd;
mod order;
mod properties;
mod tunnels;

const WHOLE: usize = 1 << 16;

fn found_with(flows: &mut Flows, segments: &[Segment], snaplen: usize) -> Vec<Plain> {
    let mut found = Vec::new();
    for segment in segments {
        take(flows, segment, snaplen, &mut |one| {
            found.push(Plain::from_found(&one));
        });
    }
    found
}

/// Findings in packets, before the end of the capture gives up gaps.
fn found(segments: &[Segment]) -> Vec<Plain> {
    found_with(&mut Flows::new(&[PORT], Limits::default()), segments, WHOLE)
}

/// Findings in packets and at the end of the capture.
fn found_to_the_end(segments: &[Segment]) -> Vec<Plain> {
    let mut flows = Flows::new(&[PORT], Limits::default());
    let mut all = found_with(&mut flows, segments, WHOLE);
    flows.finish(&mut |one| all.push(Plain::from_found(&one)));
    all
}

fn bytes(direction: membench_event::Direction, offset: u64, bytes: &[u8]) -> Plain {
    Plain::Bytes(direction, offset, bytes.to_vec(), 0)
}

fn opened(mid_stream: bool) -> Plain {
    Plain::Opened {
        client: client(40_000),
        mid_stream,
    }
}

/// First three packets of a connection: the client's bytes start at 101, the server's at 501.
fn handshake() -> Vec<Segment> {
    vec![
        request(0, 100, 0, b"").with("S").without_acknowledgement(),
        response(US, 500, 101, b"").with("S"),
        request(2 * US, 101, 501, b""),
    ]
}

fn after_handshake(rest: &[Segment]) -> Vec<Segment> {
    [handshake(), rest.to_vec()].concat()
}
