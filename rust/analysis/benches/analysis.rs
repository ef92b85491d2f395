//! A synthetic recording of 10 M events → CPU seconds of each analysis, and of all in one pass.
//!
//! `cargo bench --bench analysis [-- EVENTS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use membench_analysis::{Analysis, Context, Options, Section, analyze_events};
use membench_event::{Command, Event, Outcome};

const KEYS: u32 = 2_000_000;
const BUDGET: &str = "budget 10 s for everything over 10 M events";

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let count: u32 = argument.unwrap_or(10_000_000);
    let (generating, _) = timed(|| {
        workload(count)
            .map(|event| std::hint::black_box(event).batch)
            .max()
    });
    println!(
        "{count} events of at most {KEYS} keys; generating them takes {generating:.2} s, subtracted below"
    );
    for section in Section::ALL {
        let (seconds, _) = timed(|| run(count, Some(vec![*section])));
        report(section.name(), seconds - generating, count);
    }
    let (seconds, analysis) = timed(|| run(count, None));
    report("everything", seconds - generating, count);
    let memory = analysis.memory.as_ref();
    println!(
        "{BUDGET}; {} distinct keys, {} points on the curve",
        analysis.keys.as_ref().map_or(0, |keys| keys.distinct),
        memory.map_or(0, |memory| memory.miss_ratio_curve.len())
    );
}

fn report(name: &str, seconds: f64, count: u32) {
    println!(
        "{name:12} {seconds:6.2} s  {:4.0} ns an event",
        seconds * 1e9 / f64::from(count)
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = cpu_seconds();
    let result = work();
    (cpu_seconds() - start, result)
}

/// CPU time of this process, s, which excludes other work on the machine.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    nanoseconds.expect("Linux counts CPU time in schedstat") / 1e9
}

fn run(count: u32, only: Option<Vec<Section>>) -> Analysis {
    let options = Options {
        only,
        ..Options::default()
    };
    analyze_events(workload(count).map(Ok), &Context::default(), &options)
        .expect("the synthetic events have few keys")
}

/// Generates nine gets to one set, about Zipf 1 over the keys, on 300 connections, at 200,000 events/s.
fn workload(count: u32) -> impl Iterator<Item = Event> {
    (0..count).map(|ordinal| {
        let random = mix(u64::from(ordinal));
        let key = popular(random);
        let is_set = random.is_multiple_of(10);
        Event {
            time: u64::from(ordinal) * 5000,
            connection: ordinal % 300,
            batch: ordinal / 300,
            request: ordinal / 300,
            key: Some(mix(u64::from(key))),
            key_size: Some(36),
            value_size: Some(100 + key % 1000),
            request_size: Some(50),
            ttl: is_set.then_some(3600),
            flags: is_set.then_some(0),
            outcome: Some(if is_set {
                Outcome::Stored
            } else {
                Outcome::Hit
            }),
            server_time: Some(u64::from(800 + key % 4096)),
            queue_time: Some(u64::from(key % 64)),
            ..Event::new(if is_set { Command::Set } else { Command::Get })
        }
    })
}

/// Draws a key log-uniformly from `0..KEYS`: key k about proportionally to 1 / k.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0…KEYS"
)]
fn popular(random: u64) -> u32 {
    let uniform = (random >> 11) as f64 / (1_u64 << 53) as f64;
    f64::from(KEYS).powf(uniform) as u32
}

/// splitmix64's finalizer.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
