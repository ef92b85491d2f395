//! Conversations with missing packets → events, whose outcomes are never those of other requests.

use std::collections::{HashMap, VecDeque};

use membench_decode::packet::testing::{MS, PORT, S, Segment as Sent, US, request, response, take};
use membench_decode::packet::{Flows, Limits};
use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Event, Outcome};
use proptest::prelude::*;

use crate::session::Session;
use crate::session::sockets::Sockets;

const WHOLE: usize = 1 << 16;

/// One request of a client, and its answer.
#[derive(Clone, Debug)]
struct Exchange {
    key: Vec<u8>,
    request: Vec<u8>,
    answer: Vec<u8>,
    outcome: Outcome,
    value_size: Option<u32>,
}

/// Makes the exchange with this number. Its key occurs in no other.
fn exchange(number: usize, kind: u8) -> Exchange {
    let key = format!("key-{number}").into_bytes();
    let named = String::from_utf8(key.clone()).unwrap();
    let size = number % 700;
    let value = "v".repeat(size);
    let (request, answer, outcome, value_size) = match kind % 8 {
        0 | 1 => (
            format!("get {named}\r\n"),
            format!("VALUE {named} 0 {size}\r\n{value}\r\nEND\r\n"),
            Outcome::Hit,
            Some(u32::try_from(size).unwrap()),
        ),
        2 => (
            format!("get {named}\r\n"),
            "END\r\n".into(),
            Outcome::Miss,
            None,
        ),
        3 => (
            format!("set {named} 0 0 {size}\r\n{value}\r\n"),
            "STORED\r\n".into(),
            Outcome::Stored,
            Some(u32::try_from(size).unwrap()),
        ),
        4 => (
            format!("delete {named}\r\n"),
            "DELETED\r\n".into(),
            Outcome::Deleted,
            None,
        ),
        5 => (
            format!("delete {named}\r\n"),
            "NOT_FOUND\r\n".into(),
            Outcome::NotFound,
            None,
        ),
        6 => (
            format!("mg {named} v q\r\n"),
            String::new(),
            Outcome::Suppressed,
            None,
        ),
        _ => (
            format!("mg {named} v k\r\n"),
            format!("VA {size} k{named}\r\n{value}\r\n"),
            Outcome::Hit,
            Some(u32::try_from(size).unwrap()),
        ),
    };
    Exchange {
        key,
        request: request.into_bytes(),
        answer: answer.into_bytes(),
        outcome,
        value_size,
    }
}

/// Habits of a client and its server.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// Most requests without a response.
    window: usize,
    /// True if the client waits for every response once `window` requests are open.
    stops: bool,
    /// Most payload of a packet, bytes.
    segment: usize,
}

/// Makes the packets of a conversation as they pass the server. `choices` decides who sends next.
fn conversation(exchanges: &[Exchange], habits: Habits, choices: &[u8]) -> Vec<Sent> {
    let (mut client, mut server) = (101_u32, 501_u32);
    let (mut seen_by_client, mut time) = (501_u32, 0_u64);
    let mut packets = vec![
        request(0, 100, 0, b"").with("S").without_acknowledgement(),
        response(US, 500, 101, b"").with("S"),
    ];
    let mut open: VecDeque<&Exchange> = VecDeque::new();
    let mut waiting = exchanges.iter();
    let mut choices = choices.iter().cycle();
    let mut sending = true;
    loop {
        let choice = *choices.next().unwrap();
        time += 10 * US + u64::from(choice) * US;
        if habits.stops {
            sending = open.is_empty() || (sending && open.len() < habits.window);
        }
        let may_send = sending && open.len() < habits.window && waiting.len() > 0;
        if may_send && (choice.is_multiple_of(2) || open.is_empty()) {
            if open.is_empty() && choice.is_multiple_of(16) {
                time += 2 * S;
            }
            let next = waiting.next().unwrap();
            for bytes in next.request.chunks(habits.segment) {
                packets.push(request(time, client, seen_by_client, bytes));
                client = client.wrapping_add(u32::try_from(bytes.len()).unwrap());
                time += US;
            }
            open.push_back(next);
        } else if let Some(answered) = open.pop_front() {
            for bytes in answered.answer.chunks(habits.segment) {
                packets.push(response(time, server, client, bytes));
                server = server.wrapping_add(u32::try_from(bytes.len()).unwrap());
                time += US;
            }
            seen_by_client = server;
        } else if waiting.len() == 0 {
            packets.push(request(time + MS, client, server, b"").with("F"));
            packets.push(response(time + 2 * MS, server, client.wrapping_add(1), b"").with("F"));
            return packets;
        }
        sending &= !habits.stops || open.len() < habits.window;
    }
}

/// Decodes the captured packets. Returns the events, and a description of each outcome that is another request's.
fn events(exchanges: &[Exchange], packets: &[Sent]) -> (Vec<Event>, Vec<String>, Session, Flows) {
    let hasher = KeyHasher::random().unwrap();
    let known: HashMap<u64, &Exchange> = exchanges
        .iter()
        .map(|one| (hasher.id(&one.key), one))
        .collect();
    let mut session = Session::new(
        Decoder::new(hasher, Responses::Bytes, 0),
        Sockets::default(),
    );
    let mut flows = Flows::new(&[PORT], Limits::default());
    let mut all = Vec::new();
    for packet in packets {
        take(&mut flows, packet, WHOLE, &mut |found| {
            session.take_found(&found);
        });
        all.extend_from_slice(session.events());
        session.clear_events();
    }
    flows.finish(&mut |found| session.take_found(&found));
    session.end(flows.now());
    all.extend_from_slice(session.events());
    session.clear_events();
    let wrong = wrong(&known, &all);
    (all, wrong, session, flows)
}

fn wrong(known: &HashMap<u64, &Exchange>, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    for event in events {
        // A key that a gap cut is no key of ours.
        let Some(exchange) = event.key.and_then(|key| known.get(&key)) else {
            continue;
        };
        let told = (event.outcome, event.value_size);
        if let Some(outcome) = event.outcome
            && (outcome != exchange.outcome
                || (outcome == Outcome::Hit && event.value_size != exchange.value_size))
        {
            wrong.push(format!("{exchange:?}: {told:?}"));
        }
    }
    wrong
}

fn habits() -> impl Strategy<Value = Habits> {
    (
        1_usize..9,
        any::<bool>(),
        prop_oneof![Just(1400_usize), Just(60), Just(11)],
    )
        .prop_map(|(window, stops, segment)| Habits {
            window,
            stops,
            segment,
        })
}

/// Returns the outcomes and the missed bytes of a client with one request at a time, if one packet is missing.
fn outcomes_without(packet: usize, kind: u8, count: usize) -> (Vec<Option<Outcome>>, u64) {
    let exchanges: Vec<_> = (0..count).map(|number| exchange(number, kind)).collect();
    let habits = Habits {
        window: 1,
        stops: true,
        segment: 1400,
    };
    let mut packets = conversation(&exchanges, habits, &[1]);
    packets.remove(packet);
    let (events, wrong, session, _) = events(&exchanges, &packets);
    assert_eq!(wrong, Vec::<String>::new());
    let ledger = session.ledger(session.counters(), 0);
    let outcomes = events.iter().map(|event| event.outcome).collect();
    (outcomes, ledger.missed)
}

#[test]
fn one_missing_packet_costs_the_outcomes_of_its_own_request_only() {
    // Packets 2 and 3 are the first request and its response.
    for (packet, events, unknown) in [(2 + 2 * 20, 59, 0), (3 + 2 * 20, 60, 1)] {
        let (outcomes, missed) = outcomes_without(packet, 0, 60);
        let nulls = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        assert_eq!(
            (outcomes.len(), nulls),
            (events, unknown),
            "packet {packet}"
        );
        assert!(missed > 0);
    }
}

#[test]
fn pairing_without_keys_proves_right_when_as_many_responses_came_as_were_due() {
    let exchanges: Vec<_> = (0..60).map(|number| exchange(number, 3)).collect();
    let habits = Habits {
        window: 1,
        stops: true,
        segment: 1400,
    };
    let mut packets = conversation(&exchanges, habits, &[1]);
    packets.remove(2 + 2 * 20);
    let known = |packets: &[Sent]| {
        let (events, wrong, _, _) = events(&exchanges, packets);
        assert_eq!(wrong, Vec::<String>::new());
        events
            .iter()
            .filter(|event| event.outcome.is_some())
            .count()
    };
    assert_eq!(known(&packets), 59, "the connection ends");
    packets.truncate(packets.len() - 2);
    assert_eq!(known(&packets), 20, "the capture ends before");
}

#[test]
fn a_connection_that_was_open_before_is_paired_from_its_first_request() {
    let exchanges: Vec<_> = (0..20).map(|number| exchange(number, 0)).collect();
    let habits = Habits {
        window: 1,
        stops: true,
        segment: 1400,
    };
    let packets = conversation(&exchanges, habits, &[1]);
    let (events, wrong, session, _) = events(&exchanges, &packets[2..]);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(
        events
            .iter()
            .all(|event| event.outcome == Some(Outcome::Hit))
    );
    let ledger = session.ledger(session.counters(), 0);
    assert_eq!((ledger.complete, ledger.unpaired), (Some(true), 0));
}

#[test]
fn a_hit_proves_right_when_its_key_was_stored_a_moment_before() {
    let pair = |number| [exchange(number, 3), exchange(number, 0)];
    let exchanges: Vec<_> = (0..20).flat_map(pair).collect();
    let habits = Habits {
        window: 1,
        stops: true,
        segment: 1400,
    };
    let packets = conversation(&exchanges, habits, &[1]);
    // It was open before the capture, and still is after it.
    let (events, ..) = events(&exchanges, &packets[2..packets.len() - 2]);
    let outcomes: Vec<_> = events.iter().map(|event| event.outcome).collect();
    let expected: Vec<_> = exchanges.iter().map(|one| Some(one.outcome)).collect();
    assert_eq!(outcomes, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whole_conversations_give_every_outcome(
        kinds in proptest::collection::vec(any::<u8>(), 1..60),
        habits in habits(),
        choices in proptest::collection::vec(any::<u8>(), 8..40),
    ) {
        // Always one more that is answered, so that no quiet request is the last.
        let kinds = kinds.into_iter().chain([0]);
        let exchanges: Vec<_> = kinds.enumerate().map(|(number, kind)| exchange(number, kind)).collect();
        let packets = conversation(&exchanges, habits, &choices);
        let (events, wrong, session, flows) = events(&exchanges, &packets);
        prop_assert_eq!(wrong, Vec::<String>::new());
        let outcomes: Vec<_> = events.iter().map(|event| event.outcome).collect();
        let expected: Vec<_> = exchanges.iter().map(|one| Some(one.outcome)).collect();
        prop_assert_eq!(outcomes, expected);
        let counters = session.counters();
        let sum = |of: fn(&Exchange) -> usize| exchanges.iter().map(|one| of(one) as u64).sum::<u64>();
        prop_assert_eq!(counters.request_bytes, sum(|one| one.request.len()));
        prop_assert_eq!(counters.response_bytes, sum(|one| one.answer.len()));
        prop_assert_eq!(flows.unfollowed(), membench_decode::packet::Unfollowed::default());
    }

    #[test]
    fn missing_packets_never_give_a_request_the_outcome_of_another(
        kinds in proptest::collection::vec(any::<u8>(), 20..150),
        habits in habits(),
        choices in proptest::collection::vec(any::<u8>(), 8..40),
        lost in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        start in 0_usize..40,
    ) {
        let exchanges: Vec<_> = kinds.iter().enumerate().map(|(number, kind)| exchange(number, *kind)).collect();
        let mut packets = conversation(&exchanges, habits, &choices);
        packets.drain(..start.min(packets.len() - 1));
        for index in lost {
            if packets.len() > 1 {
                packets.remove(index.index(packets.len()));
            }
        }
        let (_, wrong, session, _) = events(&exchanges, &packets);
        prop_assert_eq!(wrong, Vec::<String>::new());
        let servers = session.sockets().servers();
        for server in servers {
            prop_assert_eq!(server.request.seen, server.request.accounted());
            prop_assert_eq!(server.response.seen, server.response.accounted());
        }
    }
}
