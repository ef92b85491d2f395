//! Arbitrary bytes as a target's answers to requests of every kind → a replay that ends, and counts no more answers than
//! it sent requests.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use membench_event::{Command, Protocol};
use membench_fuzz::servers::answering;
use membench_replay::bench::{Kind, Marks, Operation, ask, closed_loop};

/// A request of the `number`th kind of a protocol, and true if the next operation belongs to it.
fn request(binary: bool, number: u8) -> Operation {
    let commands = [
        Command::Get,
        Command::Set,
        Command::Gets,
        Command::Incr,
        Command::Delete,
        Command::Touch,
        Command::Cas,
        Command::MetaGet,
        Command::MetaSet,
        Command::MetaNoop,
    ];
    let index = usize::from(number) % if binary { 7 } else { commands.len() };
    let command = commands[index];
    let mut operation = Operation {
        command,
        protocol: match (binary, index) {
            (true, _) => Protocol::Binary,
            (false, 7..) => Protocol::Meta,
            (false, _) => Protocol::Text,
        },
        key: u64::from(number),
        key_size: if command == Command::MetaNoop { 0 } else { 8 },
        value_size: 10,
        recorded_size: 30,
        opaque_size: if binary { 4 } else { 0 },
        ..Operation::new(Kind::Request, 0, 0)
    };
    let stores = matches!(command, Command::Set | Command::Cas | Command::MetaSet);
    operation.marks.set(Marks::VALUE, stores);
    operation
        .marks
        .set(Marks::CAS_RETURNED, command == Command::Gets);
    operation
        .marks
        .set(Marks::CAS_SENT, command == Command::Cas);
    operation
        .marks
        .set(Marks::REQUEST_CONTINUES, !binary && number & 0x80 != 0);
    operation
}

fn replay(target: SocketAddr, kinds: &[u8], binary: bool) {
    let mut block: Vec<Operation> = kinds.iter().map(|kind| request(binary, *kind)).collect();
    if let Some(last) = block.last_mut() {
        last.marks.set(Marks::REQUEST_CONTINUES, false);
    }
    // A request of several keys is of one command.
    for at in 1..block.len() {
        if block[at - 1].marks.has(Marks::REQUEST_CONTINUES) {
            let continues = block[at].marks.has(Marks::REQUEST_CONTINUES);
            block[at] = Operation {
                key: block[at].key,
                ..block[at - 1]
            };
            block[at].marks.set(Marks::REQUEST_CONTINUES, continues);
        }
    }
    let requests = block.len() as u64;
    if let Ok(cost) = closed_loop(target, vec![block], usize::MAX, false) {
        assert!(cost.answered <= requests, "{} of {requests}", cost.answered);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[shape], input)) = input.split_first_chunk() else {
        return;
    };
    let Some((kinds, answers)) = input.split_at_checked(usize::from(shape % 16)) else {
        return;
    };
    let target = answering(answers);
    replay(target, kinds, shape & 0x80 != 0);
    let _ = ask(&target.to_string());
});
