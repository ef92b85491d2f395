//! A synthetic get/set mix → bytes and CPU time per event to write, seal and read a profile.
//!
//! `cargo bench --bench profile [-- EVENTS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use membench_event::Anchor;
use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_profile::{End, Header, Profile, Writer};
use rustix::time::{ClockId, clock_gettime};

/// Parameters of a mix.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    keys: u32,
    /// True if all keys have one size and all values another, as load generators make them.
    one_size: bool,
    /// Requests of one connection per read.
    depth: u32,
    server_time: bool,
}

const SHAPES: [Shape; 5] = [
    shape("many sizes, 1 M keys", 1_000_000, false, 1, false),
    shape("many sizes, 1 M keys", 1_000_000, false, 1, true),
    shape("one size, 1 M keys", 1_000_000, true, 1, false),
    shape("one size, 100 k keys", 100_000, true, 1, false),
    shape("one size, 100 k keys, 8 a read", 100_000, true, 8, false),
];

const fn shape(
    name: &'static str,
    keys: u32,
    one_size: bool,
    depth: u32,
    server_time: bool,
) -> Shape {
    Shape {
        name,
        keys,
        one_size,
        depth,
        server_time,
    }
}

/// Traffic with the shape of Twitter's median cluster: 50 connections, 100 k requests/s, Zipf keys, 1 set in 10.
struct Mix {
    shape: Shape,
    random: u64,
    /// Cumulative share of each key.
    popularity: Vec<f64>,
    time: f64,
    /// Requests so far on each connection.
    requests: Vec<u32>,
    connection: u32,
    /// Requests left in the current read.
    left: u32,
}

const CONNECTIONS: u32 = 50;
/// Rounds of reading and of comparing checksums, in turn.
const ROUNDS: usize = 5;
/// Events appended at a time.
const BLOCK: u32 = 25_000;

impl Mix {
    fn new(shape: Shape) -> Self {
        let mut sum = 0.0;
        let popularity = (1..=shape.keys)
            .map(|rank| {
                sum += f64::from(rank).powf(-0.95);
                sum
            })
            .collect();
        Self {
            shape,
            random: 42,
            popularity,
            time: 0.0,
            requests: vec![0; CONNECTIONS as usize],
            connection: 0,
            left: 0,
        }
    }

    /// Draws uniformly from 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.random) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.uniform()).ln() * mean
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "drawn from ranges that fit"
    )]
    fn event(&mut self) -> Event {
        if self.left == 0 {
            self.left = self.shape.depth;
            self.time += self.exponential(10_000.0 * f64::from(self.shape.depth));
            self.connection = (self.uniform() * f64::from(CONNECTIONS)) as u32;
        }
        self.left -= 1;
        let connection = self.connection;
        let request = self.requests[connection as usize];
        self.requests[connection as usize] += 1;
        let drawn = self.uniform() * self.popularity[self.shape.keys as usize - 1];
        let rank = self.popularity.partition_point(|share| *share < drawn) as u64;
        let set = self.uniform() < 0.1;
        let missed = !set && self.uniform() < 0.05;
        let (value_size, key_size) = if self.shape.one_size {
            (100, 30)
        } else {
            (
                20 + (mix(rank) % 997) as u32,
                30 + (mix(rank ^ 1) % 16) as u8,
            )
        };
        let server_time = 900.0 + self.exponential(700.0);
        Event {
            time: self.time as u64,
            connection,
            batch: request / self.shape.depth,
            request,
            key: Some(mix(rank ^ 2)),
            key_size: Some(key_size),
            value_size: (!missed).then_some(value_size),
            request_size: Some(request_size(set, key_size, value_size)),
            ttl: set.then_some(3600),
            flags: set.then_some(0),
            outcome: Some(match (set, missed) {
                (true, _) => Outcome::Stored,
                (false, true) => Outcome::Miss,
                (false, false) => Outcome::Hit,
            }),
            server_time: self.shape.server_time.then_some(server_time as u64),
            ..Event::new(if set { Command::Set } else { Command::Get })
        }
    }
}

fn request_size(set: bool, key_size: u8, value_size: u32) -> u32 {
    let key = u32::from(key_size);
    if set { key + value_size + 20 } else { key + 6 }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn run(path: &Path, shape: Shape, count: u32) -> membench_profile::Result<()> {
    let mut source = Mix::new(shape);
    let header = Header {
        anchor: Anchor {
            monotonic_ns: 0,
            utc_ns: 1_700_000_000_000_000_000,
        },
        ..Header::default()
    };
    let options = OptionsTable::default();
    let mut writer = Writer::create(path, header, false)?;
    let (mut appending, mut longest, mut generating) = (0.0, 0.0_f64, 0.0);
    let cpu_before = cpu_s(ClockId::ProcessCPUTime);
    for _ in 0..count / BLOCK {
        let before = cpu_s(ClockId::ThreadCPUTime);
        let events: Vec<Event> = (0..BLOCK).map(|_| source.event()).collect();
        generating += cpu_s(ClockId::ThreadCPUTime) - before;
        let (started, before) = (Instant::now(), cpu_s(ClockId::ThreadCPUTime));
        writer.append(&events, &options)?;
        let took = started.elapsed().as_secs_f64();
        appending += cpu_s(ClockId::ThreadCPUTime) - before;
        longest = longest.max(took);
    }
    let open = writer.bytes_written();
    let started = Instant::now();
    let manifest = writer.finish(End::default())?;
    let finishing = started.elapsed().as_secs_f64();
    let cpu = cpu_s(ClockId::ProcessCPUTime) - cpu_before - generating;
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    let per_event = |seconds: f64| seconds * 1e9 / f64::from(count);
    println!(
        "{}, {} server times: {:.2} B an event sealed ({:.2} before the last sealing), {:.0} ns of CPU, \
         {:.0} of it before sealing; longest append {:.0} ms; finished in {finishing:.1} s",
        shape.name,
        if shape.server_time { "with" } else { "no" },
        bytes as f64 / f64::from(count),
        open as f64 / f64::from(count),
        per_event(cpu),
        per_event(appending),
        longest * 1e3,
    );
    println!("  {} (12 MB of it the benchmark's own)", peak());
    let (mut reading, mut verifying) = (Vec::new(), Vec::new());
    let mut read = 0;
    for _ in 0..ROUNDS {
        let before = cpu_s(ClockId::ThreadCPUTime);
        read = Profile::open(path)?.events()?.flatten().count();
        let between = cpu_s(ClockId::ThreadCPUTime);
        Profile::open(path)?.verify()?;
        verifying.push(cpu_s(ClockId::ThreadCPUTime) - between);
        reading.push(between - before);
    }
    let (reading, verifying) = (median(&mut reading), median(&mut verifying));
    println!(
        "  read {read} events: {:.0} ns of CPU an event; comparing all checksums, which the first reader does as well: \
         {:.2} ns, {:.1} % of it",
        per_event(reading),
        per_event(verifying),
        verifying / reading * 100.0,
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Prints the size of each column in the sealed parts.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn columns(path: &Path, count: u32) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let mut sizes: HashMap<String, i64> = HashMap::new();
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("events-")) {
        let Ok(reader) = std::fs::File::open(file.path())
            .map_err(Into::into)
            .and_then(SerializedFileReader::new)
        else {
            continue;
        };
        for group in reader.metadata().row_groups() {
            for column in group.columns() {
                *sizes.entry(column.column_path().string()).or_default() +=
                    column.compressed_size();
            }
        }
    }
    let mut sizes: Vec<_> = sizes
        .into_iter()
        .filter(|size| size.1 > i64::from(count) / 100)
        .collect();
    sizes.sort_by_key(|size| -size.1);
    let text: Vec<String> = sizes
        .iter()
        .map(|(name, size)| format!("{name} {:.2}", *size as f64 / f64::from(count)))
        .collect();
    println!("  B an event: {}", text.join(", "));
}

fn cpu_s(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
    .as_secs_f64()
}

/// Peak memory of this process, kB.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or_default().into()
}

fn main() -> membench_profile::Result<()> {
    let count = std::env::args().find_map(|argument| argument.parse().ok());
    let count = count.unwrap_or(5_000_000);
    println!("{count} events, {} B each in memory", size_of::<Event>());
    for shape in SHAPES {
        let path = std::env::temp_dir().join(format!("membench-bench-{}.mb", std::process::id()));
        run(&path, shape, count)?;
        columns(&path, count);
        drop(std::fs::remove_dir_all(&path));
    }
    Ok(())
}
