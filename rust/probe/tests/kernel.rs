//! Probes of this machine's kernel and of this process. As root: `cargo test -p membench-probe -- --ignored`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use membench_probe::{By, Interval, Linear, Options, Probe};

/// Calls that a test makes.
const CALLS: u64 = 1_000;

fn options(hook: &str) -> Options {
    Options {
        hook: hook.into(),
        pids: vec![std::process::id()],
        ..Options::default()
    }
}

fn observed(options: &Options, act: impl FnOnce()) -> Interval {
    let mut probe = Probe::start(options).unwrap();
    act();
    probe.detach();
    probe.take().unwrap()
}

fn calls() {
    for _ in 0..CALLS {
        std::hint::black_box(std::os::unix::process::parent_id());
    }
}

/// Number of the call that `calls` makes.
const GETPPID: i128 = if cfg!(target_arch = "x86_64") {
    110
} else {
    173
};

#[test]
#[ignore = "needs root"]
fn every_call_is_counted_and_in_the_histogram() {
    let _one = serial();
    for hook in ["tp_btf:sys_enter", "raw_tp:sys_enter"] {
        let linear = Linear {
            least: 0,
            most: 126 * 4,
            step: 4,
        };
        let options = Options {
            histogram: Some("id".into()),
            linear: Some(linear),
            by: Some(By::Process),
            ..options(hook)
        };
        let interval = observed(&options, calls);
        let histogram = interval.histogram.unwrap();
        let bucket = histogram
            .buckets
            .iter()
            .find(|one| one.low.is_some_and(|low| (low..low + 4).contains(&GETPPID)))
            .unwrap();
        assert!(bucket.count >= CALLS, "{hook}: {bucket:?}");
        assert!(bucket.count < CALLS + 100, "{hook}: {bucket:?}");
        assert_eq!(interval.count, histogram.count, "{hook}");
        assert_eq!(interval.groups.len(), 1, "{hook}");
        assert_eq!(interval.groups[0].id, Some(std::process::id()));
        assert_eq!(interval.groups[0].count, interval.count);
        assert!(interval.cost_ns.unwrap() > 1.0, "{hook}");
    }
}

#[test]
#[ignore = "needs root"]
fn each_call_of_a_function_has_its_time() {
    let _one = serial();
    let options = Options {
        latency: true,
        ..options("uprobe:libc:getppid")
    };
    let interval = observed(&options, calls);
    assert_eq!(interval.count, CALLS);
    let histogram = interval.histogram.unwrap();
    assert_eq!((histogram.count, histogram.unit), (CALLS, Some("ns")));
    assert!(histogram.mean.unwrap() > 50.0, "{histogram:?}");
    assert!(interval.trap_ns > 50.0, "{}", interval.trap_ns);
    assert_eq!(interval.lost, membench_probe::Lost::default());
}

#[test]
#[ignore = "needs root"]
fn a_result_is_in_the_histogram() {
    let _one = serial();
    let options = Options {
        histogram: Some("ret:i32".into()),
        ..options("uretprobe:libc:getppid")
    };
    let interval = observed(&options, calls);
    let mean = interval.histogram.unwrap().mean.unwrap();
    assert_eq!(interval.count, CALLS);
    assert!(
        (mean - f64::from(std::os::unix::process::parent_id())).abs() < 0.01,
        "{mean}"
    );
}

#[test]
#[ignore = "needs root"]
fn stacks_lead_to_the_function_that_was_called() {
    let _one = serial();
    let options = Options {
        stacks: true,
        top: 10,
        ..options("tp_btf:sys_enter")
    };
    let mut probe = Probe::start(&options).unwrap();
    calls();
    probe.detach();
    let interval = probe.take().unwrap();
    assert!(interval.stacks[0].count >= CALLS);
    let counted: u64 = interval.stacks.iter().map(|one| one.count).sum();
    assert!(counted <= interval.count);
    let named = probe.folded();
    assert!(
        named.iter().any(|line| line.contains("getppid")),
        "{named:?}"
    );
}

/// Keeps tests from counting each other's calls: they are of one process.
fn serial() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
