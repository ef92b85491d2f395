//! Small programs of every type that this machine attaches: they run, count, write records and end with their links.

use std::{
    fs::{self, File},
    io::Read,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use membench_bpf::{
    Counters, Direction, Error, Filters, Hook, Info, KernelTypes, Kind, Link, Loaded, Map, Object,
    PerfEvent, Ring, RunStatistics, Sampling, Stripes, Update, UserPlace, XdpMode,
};
use membench_event::Failure;

use crate::assembler::{self, PROGRAM};

/// Long enough for an emulated machine on a busy one.
const DEADLINE: Duration = Duration::from_mins(5);
/// `TCX_NEXT`, and `TC_ACT_UNSPEC` of filters: the packet goes to the next program.
const NEXT_CLASSIFIER: i32 = -1;
/// `XDP_PASS`: the packet goes on to the kernel.
const PASS_XDP: i32 = 2;
/// Result of programs of control groups that allow the call.
const ALLOW: i32 = 1;

/// Programs at one interface or control group see what the tests beside them do: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn load(section: &str, result: i32) -> Loaded {
    let object = Object::parse("test.bpf.o", assembler::object(section, result)).unwrap();
    object.load().unwrap()
}

fn hits(object: &Loaded) -> u64 {
    let bytes = object.global("HITS").unwrap();
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

/// Attaches a program, fires its hook until it has run, detaches it, and checks that it runs no more.
fn check(section: &str, result: i32, hook: &Hook, fire: impl Fn()) {
    let _turn = TURN.lock();
    let mut object = load(section, result);
    let mut ring = Ring::open(&object.map("events").unwrap()).unwrap();
    let link = attach(&mut object, hook);
    until(|| {
        fire();
        hits(&object) > 0
    });
    link.detach();
    stays_silent(&object, fire);
    assert!(ring.drain(1, &mut |record| assert_eq!(record.len(), 8)) == 1);
}

fn attach(object: &mut Loaded, hook: &Hook) -> Link {
    let mut program = object.program(PROGRAM).unwrap();
    program
        .attach(hook)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn stays_silent(object: &Loaded, fire: impl Fn()) {
    // A run that had begun when the program was detached may end after that.
    thread::sleep(Duration::from_millis(100));
    let before = hits(object);
    (0..10).for_each(|_| fire());
    assert_eq!(hits(object), before);
}

fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        thread::yield_now();
    }
}

fn switch_tasks() {
    thread::sleep(Duration::from_millis(1));
}

/// Sends a datagram over the loopback interface.
fn datagram() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .send_to(b"datagram", socket.local_addr().unwrap())
        .unwrap();
    socket.recv(&mut [0; 8]).unwrap();
}

fn connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
}

fn cgroup() -> Hook {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let path = fields.find_map(|mut line| {
        let path = line.nth(1)?;
        (line.next()? == "cgroup2").then(|| PathBuf::from(path))
    });
    Hook::Cgroup {
        path: path.expect("a cgroup2 file system is mounted"),
        direction: Direction::Ingress,
    }
}

fn tracepoint() -> Hook {
    Hook::RawTracepoint("sched_switch".into())
}

fn loopback(direction: Direction) -> Hook {
    Hook::Tcx {
        interface: "lo".into(),
        direction,
    }
}

#[test]
#[ignore = "root"]
fn tracepoints_run_programs_with_types_and_without() {
    for section in ["tp_btf", "raw_tp"] {
        check(section, 0, &tracepoint(), switch_tasks);
    }
}

#[test]
#[ignore = "root"]
fn tracefs_tracepoints_run_programs() {
    const FOLDER: &str = "/sys/kernel/tracing";
    let is_mounted = Path::new(FOLDER).join("events").exists();
    if !is_mounted {
        mount(&["-t", "tracefs", "tracefs", FOLDER]);
    }
    let hook = Hook::Tracepoint {
        category: "sched".into(),
        name: "sched_switch".into(),
    };
    check("tracepoint", 0, &hook, switch_tasks);
    if !is_mounted {
        assert!(
            process::Command::new("umount")
                .arg(FOLDER)
                .status()
                .unwrap()
                .success()
        );
    }
}

fn mount(arguments: &[&str]) {
    let status = process::Command::new("mount").args(arguments).status();
    assert!(status.unwrap().success(), "mount {arguments:?}");
}

#[test]
#[ignore = "root"]
fn clocks_run_programs_on_each_cpu() {
    let hook = Hook::PerfEvent {
        event: PerfEvent::CpuClock,
        every: Sampling::Hertz(1_000),
        cpu: None,
        process: None,
    };
    check("perf_event", 0, &hook, || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {}
    });
}

#[test]
#[ignore = "root"]
fn functions_of_a_library_run_programs() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let library = maps.lines().find_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        path.contains("/libc.so").then(|| PathBuf::from(path))
    });
    for section in ["uprobe", "uretprobe"] {
        let hook = Hook::UserFunction {
            file: library.clone().unwrap(),
            place: UserPlace::Symbol("getpid".into()),
            process: Some(process::id()),
            semaphore: 0,
        };
        check(section, 0, &hook, || assert!(process::id() > 0));
    }
}

#[test]
#[ignore = "root"]
fn iterators_run_programs_when_they_are_read() {
    let mut object = load("iter", 0);
    let link = attach(&mut object, &Hook::Iterator("task".into()));
    let mut text = Vec::new();
    let mut file = link.into_file().unwrap().unwrap();
    file.read_to_end(&mut text).unwrap();
    // Once for each task, and once at the end.
    assert!(hits(&object) > 2, "{}", hits(&object));
}

#[test]
#[ignore = "root"]
fn packets_of_an_interface_run_classifiers() {
    if !has_tcx() {
        let mut object = load("classifier", NEXT_CLASSIFIER);
        let hook = loopback(Direction::Ingress);
        let attached = object.program(PROGRAM).unwrap().attach(&hook);
        return assert!(matches!(attached, Err(Error::Attach { .. })));
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        check(
            "classifier",
            NEXT_CLASSIFIER,
            &loopback(direction),
            datagram,
        );
    }
}

/// Returns true on Linux 6.6 and newer, which have links for classifiers.
fn has_tcx() -> bool {
    let release = membench_bpf::kernel_release();
    let mut numbers = release.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("{release}")
    };
    (major, minor) >= (6, 6)
}

#[test]
#[ignore = "root"]
fn packets_of_an_interface_run_xdp_programs() {
    let hook = Hook::Xdp {
        interface: "lo".into(),
        mode: XdpMode::Generic,
    };
    check("xdp", PASS_XDP, &hook, datagram);
}

#[test]
#[ignore = "root"]
fn filters_run_classifiers_and_have_one_owner_at_a_time() {
    let _turn = TURN.lock();
    let mut object = load("classifier", NEXT_CLASSIFIER);
    let programs = [(PROGRAM, Direction::Ingress)];
    let mut filters = Filters::attach(&mut object, "lo", &programs).unwrap();
    let second = Filters::attach(&mut load("classifier", NEXT_CLASSIFIER), "lo", &programs);
    let error = second.err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("Failed to attach eBPF program: clsact: "),
        "{error}"
    );
    until(|| {
        datagram();
        hits(&object) > 0
    });
    assert_eq!(filters.detach(), None);
    stays_silent(&object, datagram);
}

#[test]
#[ignore = "root"]
fn control_groups_run_programs() {
    let read_setting = || {
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    };
    let open_device = || {
        File::open("/dev/null").unwrap();
    };
    let ask_socket = || {
        UdpSocket::bind("127.0.0.1:0").unwrap().ttl().unwrap();
    };
    let fires: [(&str, &dyn Fn()); 9] = [
        ("cgroup/skb", &datagram),
        ("cgroup_skb/egress", &datagram),
        ("cgroup/sock_create", &datagram),
        ("cgroup/connect4", &connection),
        ("cgroup/bind4", &connection),
        ("sockops", &connection),
        ("cgroup/sysctl", &read_setting),
        ("cgroup/dev", &open_device),
        ("cgroup/getsockopt", &ask_socket),
    ];
    for (section, fire) in fires {
        check(section, ALLOW, &cgroup(), fire);
    }
}

#[test]
#[ignore = "root"]
fn network_namespaces_run_programs() {
    let hook = Hook::NetworkNamespace("/proc/self/ns/net".into());
    check("sk_lookup", ALLOW, &hook, connection);
}

#[test]
#[ignore = "root"]
fn sockets_run_filters() {
    let mut object = load("socket", -1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut program = object.program(PROGRAM).unwrap();
    program.attach_to_socket(socket.as_fd()).unwrap();
    socket
        .send_to(b"datagram", socket.local_addr().unwrap())
        .unwrap();
    socket.recv(&mut [0; 8]).unwrap();
    assert_eq!(hits(&object), 1);
}

/// Kernels differ in these: each attaches and runs, or says by name that it does not.
#[test]
#[ignore = "root"]
fn functions_of_the_kernel_run_programs_where_it_lets_them() {
    let hook = Hook::KernelFunction {
        name: "do_sys_openat2".into(),
        offset: 0,
    };
    for section in ["kprobe", "kretprobe", "fentry", "fexit"] {
        let _turn = TURN.lock();
        let mut object = load(section, 0);
        let attached = object.program(PROGRAM).unwrap().attach(&hook);
        match attached {
            Ok(_link) => until(|| {
                File::open("/dev/null").unwrap();
                hits(&object) > 0
            }),
            Err(error) => {
                assert!(error.to_string().contains(PROGRAM), "{error}");
                assert!(error.hint().is_some(), "{error}");
            }
        }
    }
}

#[test]
#[ignore = "root"]
fn globals_are_set_before_loading_and_read_after() {
    let _turn = TURN.lock();
    let mut object = Object::parse("test.bpf.o", assembler::object("raw_tp", 0)).unwrap();
    object.set_global("STEP", &1_000_u64).unwrap();
    let mut object = object.load().unwrap();
    let link = attach(&mut object, &tracepoint());
    until(|| {
        switch_tasks();
        hits(&object) > 0
    });
    link.detach();
    thread::sleep(Duration::from_millis(100));
    let total = hits(&object);
    assert_eq!(total % 1_000, 0);
    assert_eq!(object.global("STEP").unwrap(), 1_000_u64.to_ne_bytes());
    let stripes = Stripes {
        cpus: 1,
        per_cpu: 1,
        stride: 8,
    };
    let counters = Counters::open(&object.map("counters").unwrap(), stripes).unwrap();
    assert_eq!(counters.sum(0), total / 1_000);
    assert_eq!(counters.by_cpu(0), [total / 1_000]);
}

#[test]
#[ignore = "root"]
fn maps_are_read_and_written_by_bytes() {
    let object = load("raw_tp", 0);
    let map = object.map("names").unwrap();
    assert_eq!(
        (
            map.kind(),
            map.key_size(),
            map.value_size(),
            map.max_entries()
        ),
        ("hash", 4, 8, 16)
    );
    let (key, value) = (7_u32.to_ne_bytes(), *b"a value!");
    assert_eq!(map.lookup(&key).unwrap(), None);
    map.update(&key, &value, Update::New).unwrap();
    assert!(map.update(&key, &value, Update::New).is_err());
    map.update(&1_u32.to_ne_bytes(), &value, Update::Any)
        .unwrap();
    assert_eq!(map.lookup(&key).unwrap().as_deref(), Some(&value[..]));
    let mut keys: Vec<_> = map.keys().map(Result::unwrap).collect();
    keys.sort();
    assert_eq!(keys, [1_u32.to_ne_bytes(), key]);
    assert!(map.delete(&key).unwrap() && !map.delete(&key).unwrap());
    assert!(matches!(
        map.lookup(&[0]),
        Err(Error::ElementSize {
            size: 4,
            given: 1,
            ..
        })
    ));

    let map = object.map("percpu").unwrap();
    assert!(map.is_per_cpu());
    map.update(&key[..], &[1; 4], Update::Existing).unwrap_err();
    map.update(&[0; 4], &[1; 4], Update::Existing).unwrap();
    let values = map.lookup_per_cpu(&[0; 4]).unwrap().unwrap();
    assert_eq!(
        values.len(),
        membench_bpf::possible_cpus().unwrap() as usize
    );
    assert!(values.iter().all(|value| value == &[1; 4]));
}

#[test]
#[ignore = "root"]
fn pinned_maps_and_links_outlive_their_object() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    mount(&["-t", "bpf", "bpf", path]);
    let (map, link) = (folder.path().join("names"), folder.path().join("link"));
    let mut object = load("tp_btf", 0);
    object.map("names").unwrap().pin(&map).unwrap();
    let mut pinned = attach(&mut object, &tracepoint());
    pinned.pin(&link).unwrap();
    drop(pinned);
    object
        .map("names")
        .unwrap()
        .update(&[0; 4], &[5; 8], Update::Any)
        .unwrap();
    let counted = object.map(".bss").unwrap();
    drop(object);
    let before = counted.lookup(&[0; 4]).unwrap();
    until(|| {
        switch_tasks();
        counted.lookup(&[0; 4]).unwrap() != before
    });
    let reopened = Map::open_pinned(&map).unwrap();
    assert_eq!(reopened.lookup(&[0; 4]).unwrap(), Some(vec![5; 8]));
    fs::remove_file(&link).unwrap();
    fs::remove_file(&map).unwrap();
    assert!(
        process::Command::new("umount")
            .arg(path)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
#[ignore = "root"]
fn a_rejected_program_says_why_and_how_far_the_verifier_came() {
    let object = Object::parse("test.bpf.o", assembler::rejected("raw_tp")).unwrap();
    let mut object = object.load().unwrap();
    let error = object.program(PROGRAM).unwrap().load(None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("Failed to load eBPF program: count: Permission denied"),
        "{text}"
    );
    let Error::Load { log, .. } = error else {
        panic!("{text}")
    };
    assert!(log.as_str().contains("R0 !read_ok"), "{text}");
    assert_eq!(log.processed_instructions(), Some(1));
}

#[test]
#[ignore = "root"]
fn nothing_is_left_of_an_object_after_a_hundred_cycles() {
    let _turn = TURN.lock();
    for _ in 0..100 {
        let mut object = load("raw_tp", 0);
        let link = attach(&mut object, &tracepoint());
        let id = object.program(PROGRAM).unwrap().info().unwrap().id;
        let exists = || Info::all().any(|program| program.unwrap().id == id);
        assert!(exists());
        drop((link, object));
        until(|| !exists());
    }
}

#[test]
#[ignore = "root"]
fn the_kernel_tells_what_a_program_costs() {
    let _turn = TURN.lock();
    let _statistics = RunStatistics::enable().unwrap();
    let mut object = load("raw_tp", 0);
    let _link = attach(&mut object, &tracepoint());
    until(|| {
        switch_tasks();
        hits(&object) > 10
    });
    let program = object.program(PROGRAM).unwrap();
    let info = program.info().unwrap();
    assert_eq!(info.name, PROGRAM);
    assert!(
        info.runs >= 10 && info.run_time > Duration::ZERO,
        "{info:?}"
    );
    assert!(
        info.verified_instructions.is_none_or(|count| count > 20),
        "{info:?}"
    );
    assert!(program.runs().unwrap().misses().is_ok());
}

#[test]
#[ignore = "root"]
fn hooks_of_other_types_are_refused_by_name() {
    let mut object = load("raw_tp", 0);
    let error = object
        .program(PROGRAM)
        .unwrap()
        .attach(&loopback(Direction::Ingress))
        .err();
    let text = error.unwrap().to_string();
    assert_eq!(
        text,
        "Failed to attach eBPF program: count is of type raw_tp, which is not attached to the interface lo (tcx)"
    );
    let mut object = load("tp_btf", 0);
    let missing = Hook::RawTracepoint("no_such_tracepoint".into());
    let error = object
        .program(PROGRAM)
        .unwrap()
        .attach(&missing)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("Failed to load eBPF program: count: "),
        "{error}"
    );
}

#[test]
fn the_kernels_types_have_offsets_and_tracepoints() {
    let types = KernelTypes::read().unwrap();
    assert_eq!(types.offset("list_head", "prev").unwrap(), 8);
    types.require_tracepoint("sched_switch").unwrap();
    let error = types.offset("list_head", "middle").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no member middle in struct list_head"),
        "{error}"
    );
    assert!(types.require_tracepoint("no_such_tracepoint").is_err());
}

#[test]
fn every_type_has_a_name_a_kernel_and_capabilities() {
    for kind in Kind::ALL {
        assert!(!kind.name().is_empty() && !kind.capabilities().is_empty());
        let (major, minor) = kind.oldest_kernel().split_once('.').unwrap();
        assert!(
            major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok(),
            "{kind}"
        );
    }
}
