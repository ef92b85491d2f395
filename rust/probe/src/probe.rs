//! A plan → its programs attached, and what they count, interval by interval.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use membench_bpf::{
    Capability, Link, Loaded, Object, Runs as Misses, include_object, list, pid_namespace,
    possible_cpus,
};
use membench_common::{
    FILTERS, field, global, member,
    probe::{self, SETTINGS, total},
};
use membench_event::float;

use crate::{
    Error, Interval, Options, Result,
    buckets::Scale,
    cost::{Cost, Runs, Spent},
    flame::Folded,
    interval::Stack,
    plan::{Plan, Step},
    symbols::{KERNEL, Symbols},
    tally::{Change, Tally, is_mapped},
};

static OBJECT: &[u8] = include_object!("../../bpf/objects/probe.bpf.o");

/// Calls that can be under way at the same time.
const CALLS: u32 = 32_768;
/// Processes or threads, times the buckets that each uses, that can be kept apart.
const GROUPS: u32 = 65_536;
/// Stacks that can be kept apart.
const STACKS: u32 = 16_384;
/// Capabilities by which frames of the kernel and of other users' processes have names.
const NAMING: [Capability; 3] = [
    Capability::SysPtrace,
    Capability::Syslog,
    Capability::CheckpointRestore,
];
/// Least time over which the cost is compared with its limit.
const LEAST_WINDOW: Duration = Duration::from_millis(200);

/// A hook that is observed, until this is dropped.
pub struct Probe {
    object: Loaded,
    plan: Plan,
    tally: Tally,
    cost: Cost,
    misses: Vec<Misses>,
    missed: u64,
    /// By step, in the order in which they were attached.
    links: Vec<Vec<Link>>,
    begun: Instant,
    last: Instant,
    detached: Option<Instant>,
    max_cost: Option<f64>,
    checked: (Instant, Runs),
    symbols: Symbols,
    folded: Folded,
    /// Frames by process and number of the stack.
    frames: HashMap<probe::Stack, Vec<String>>,
    names: HashMap<u32, Option<String>>,
    top: usize,
}

impl Probe {
    /// Loads and attaches what the options ask for.
    pub fn start(options: &Options) -> Result<Self> {
        let plan = Plan::make(options)?;
        let mut cost = Cost::start();
        let mut settings = plan.settings;
        settings.timed = u32::from(!cost.is_counted_by_kernel());
        let mut object = Object::parse("probe", OBJECT)?;
        size(&mut object, &plan, options)?;
        set(&mut object, &plan)?;
        object.set_global(SETTINGS, &settings)?;
        let mut object = object.load()?;
        for step in plan.steps.iter().filter(|step| !step.is_many()) {
            let mut program = object.program(step.program)?;
            let kind = program.kind();
            let loaded = program.load(step.hooks.first());
            loaded.map_err(|source| failed(&plan, kind, source))?;
        }
        if plan.hook.is_user() {
            // What a trap costs is a figure beside others: hooks that cannot be measured can still be observed.
            let _ = cost.measure_trap(&mut object, &plan.steps);
        }
        let scale = plan
            .value
            .as_ref()
            .map(|value| Scale::new(value, &settings));
        let mut tally = Tally::open(&object, plan.by, options.stacks, scale)?;
        // What the programs counted while the trap was measured is none of the probe's.
        tally.take()?;
        let now = Instant::now();
        let mut probe = Self {
            object,
            plan,
            tally,
            cost,
            misses: Vec::new(),
            missed: 0,
            links: Vec::new(),
            begun: now,
            last: now,
            detached: None,
            max_cost: options.max_cost,
            checked: (now, Runs::default()),
            symbols: Symbols::default(),
            folded: Folded::default(),
            frames: HashMap::new(),
            names: HashMap::new(),
            top: options.top,
        };
        probe.attach()?;
        Ok(probe)
    }

    /// Detaches the programs. What they counted can still be taken.
    pub fn detach(&mut self) {
        if self.detached.is_none() {
            // Detaching takes a while, so the ends go first: without its beginning, each would be a loss.
            self.links.pop();
            self.detached = Some(Instant::now());
            self.links.clear();
        }
    }

    /// Returns the hook.
    pub fn hook(&self) -> String {
        self.plan.hook.to_string()
    }

    /// Returns the capabilities that the probe takes from now on, a bit each.
    pub fn capabilities(&self) -> u64 {
        let mut needed = Capability::for_elements().to_vec();
        if self.plan.settings.stacks != 0 {
            needed.extend(NAMING);
        }
        Capability::set(&needed)
    }

    /// Returns the functions that the hook's pattern matches; none if it is no pattern.
    pub fn functions(&self) -> &[String] {
        self.tally.functions()
    }

    /// Returns the share of one CPU that the hits took since the last call, if it passes the limit. Calls that follow
    /// each other closely return nothing.
    pub fn excess(&mut self) -> Result<Option<f64>> {
        let Some(limit) = self.max_cost else {
            return Ok(None);
        };
        let (since, before) = self.checked;
        let window = since.elapsed();
        if window < LEAST_WINDOW {
            return Ok(None);
        }
        let now = self.runs()?;
        self.checked = (Instant::now(), now);
        let spent = self.cost.peek(now).total;
        let earlier = self.cost.peek(before).total;
        let share = spent.saturating_sub(earlier).as_secs_f64() / window.as_secs_f64();
        Ok((share > limit).then_some(share))
    }

    /// Returns what was counted since the last call.
    pub fn take(&mut self) -> Result<Interval> {
        let now = self.detached.unwrap_or_else(Instant::now);
        let change = self.tally.take()?;
        let runs = self.runs()?;
        let spent = self.cost.take(runs);
        let mut skipped = 0;
        for program in &mut self.misses {
            skipped += program.misses()?;
        }
        let missed = skipped - std::mem::replace(&mut self.missed, skipped);
        let length = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let mut stacks = self.stacks(&change)?;
        let stacks_seen = stacks.len() as u64;
        stacks.truncate(self.top);
        Ok(self.interval(change, &spent, missed, (now, length), stacks, stacks_seen))
    }

    /// Returns all stacks since the start, folded: a line each, with its count.
    pub fn folded(&self) -> Vec<String> {
        self.folded.lines()
    }

    /// Returns a flame graph of all stacks since the start (SVG).
    ///
    /// # Errors
    ///
    /// Fails if there is no stack.
    pub fn flame_graph(&self) -> Result<Vec<u8>> {
        self.folded.draw(&self.hook())
    }

    fn attach(&mut self) -> Result<()> {
        for step in &self.plan.steps {
            let kind = self.object.program(step.program)?.kind();
            let mut links = Vec::new();
            for hook in &step.hooks {
                let attached = if step.is_many() {
                    let attached = self.object.attach_all(step.program, hook);
                    attached.map(|(link, functions)| {
                        self.tally.name_functions(functions);
                        link
                    })
                } else {
                    self.object.program(step.program)?.attach(hook)
                };
                links.push(attached.map_err(|source| failed(&self.plan, kind, source))?);
            }
            self.links.push(links);
            self.misses.push(self.object.program(step.program)?.runs()?);
        }
        let now = Instant::now();
        (self.begun, self.last) = (now, now);
        let runs = self.runs()?;
        self.checked = (now, runs);
        self.cost.begin(runs);
        Ok(())
    }

    fn runs(&mut self) -> Result<Runs> {
        if self.cost.is_counted_by_kernel() {
            return self.cost.runs(&mut self.object, &self.plan.steps);
        }
        let totals = self.tally.totals();
        let total = |which: u32| totals.get(which as usize).copied().unwrap_or(0);
        Ok(Runs {
            count: total(total::RUNS),
            time: Duration::from_nanos(total(total::RUN_TIME)),
        })
    }

    fn interval(
        &self,
        change: Change,
        spent: &Spent,
        misses: u64,
        (now, length): (Instant, Duration),
        stacks: Vec<Stack>,
        stacks_seen: u64,
    ) -> Interval {
        let interval_s = length.as_secs_f64();
        let count = change.total(total::COUNT);
        let each_s = |amount: f64| {
            if interval_s > 0.0 {
                amount / interval_s
            } else {
                0.0
            }
        };
        let rate = each_s(float(count));
        Interval {
            hook: self.hook(),
            elapsed_s: now.saturating_duration_since(self.begun).as_secs_f64(),
            interval_s,
            count,
            rate,
            misses,
            cost_ns: spent.per_run_ns,
            trap_ns: spent.trap_ns,
            cpu_share: each_s(spent.total.as_secs_f64()),
            lost: change.lost(),
            histogram: change.histogram,
            groups: change.groups,
            stacks,
            stacks_seen,
        }
    }

    /// Names the frames of all stacks, so that those of processes that end are known; joins those of the same functions,
    /// the most frequent first.
    fn stacks(&mut self, change: &Change) -> Result<Vec<Stack>> {
        self.learn(change)?;
        let mut joined: HashMap<(u32, &[String]), u64> = HashMap::new();
        for (stack, count) in &change.stacks {
            let frames = self.frames.get(stack).map(Vec::as_slice);
            *joined
                .entry((stack.process, frames.unwrap_or_default()))
                .or_default() += count;
        }
        let mut stacks: Vec<Stack> = joined
            .into_iter()
            .map(|((process, frames), count)| Stack {
                count,
                process,
                name: name(&mut self.names, process),
                frames: frames.to_vec(),
            })
            .collect();
        stacks.sort_by(|one, other| {
            let order = |stack: &Stack| (std::cmp::Reverse(stack.count), stack.process);
            (order(one), &one.frames).cmp(&(order(other), &other.frames))
        });
        for stack in &stacks {
            self.folded.add(stack);
        }
        Ok(stacks)
    }

    /// Looks up the names of all frames that are not known yet.
    fn learn(&mut self, change: &Change) -> Result<()> {
        let mut unknown = Vec::new();
        for (stack, _) in &change.stacks {
            if !self.frames.contains_key(stack) {
                let kernel = self.tally.frames(stack.kernel)?;
                unknown.push((*stack, kernel, self.tally.frames(stack.user)?));
            }
        }
        let parts = unknown.iter().flat_map(|(stack, kernel, user)| {
            [(0, kernel.as_slice()), (stack.process, user.as_slice())]
        });
        self.symbols.learn(parts);
        for (stack, kernel, user) in unknown {
            let kernel = self.symbols.known(0, &kernel).into_iter();
            let mut frames: Vec<String> = kernel.map(|name| format!("{name}{KERNEL}")).collect();
            frames.extend(self.symbols.known(stack.process, &user));
            self.frames.insert(stack, frames);
        }
        Ok(())
    }
}

/// Returns a process's name; `None` if it was gone when it was first looked at.
fn name(names: &mut HashMap<u32, Option<String>>, process: u32) -> Option<String> {
    let known = names.entry(process).or_insert_with(|| {
        if process == 0 {
            return Some("idle".into());
        }
        let name = fs::read_to_string(format!("/proc/{process}/comm")).ok();
        name.map(|name| name.trim_end().to_owned())
    });
    known.clone()
}

/// Sizes the maps: those that the probe does not use keep one element.
fn size(object: &mut Object, plan: &Plan, options: &Options) -> Result<()> {
    let cpus = possible_cpus()?;
    object
        .use_only(plan.steps.iter().map(|step: &Step| step.program))?
        .set_max_entries("totals", cpus)?
        .set_max_entries("histogram", cpus)?;
    if plan.settings.paired != 0 {
        object.set_max_entries("begun", CALLS)?;
    }
    if is_mapped(plan.by) {
        object.set_max_entries("groups", GROUPS)?;
    }
    if options.stacks {
        object
            .set_max_entries("stacks", STACKS)?
            .set_max_entries("frames", STACKS)?;
    }
    Ok(())
}

/// Sets what the library of the programs reads: the filters, and where members of the kernel's structures are.
fn set(object: &mut Object, plan: &Plan) -> Result<()> {
    object
        .set_global(global::PIDS, &list::<_, FILTERS>(&plan.pids))?
        .set_global(global::PID_NAMESPACE, &pid_namespace())?
        .set_global(global::CGROUPS, &list::<_, FILTERS>(&plan.cgroups))?;
    if let Some(types) = plan.types.as_ref().filter(|_| plan.settings.socket != 0) {
        let mut fields = [0; field::COUNT];
        let mut members = [0; member::COUNT];
        for index in [field::SOCK_LOCAL_PORT, field::SOCK_REMOTE_PORT] {
            let (Some(to), Some((structure, path))) =
                (fields.get_mut(index), field::PATHS.get(index))
            else {
                continue;
            };
            *to = types.offset(structure, path)?;
        }
        let index = member::SOCKET_SOCK;
        if let (Some(to), Some((structure, path))) =
            (members.get_mut(index), member::PATHS.get(index))
        {
            *to = types.offset(structure, path)?;
        }
        object
            .set_global(global::FIELDS, &fields)?
            .set_global(global::MEMBERS, &members)?;
    }
    Ok(())
}

fn failed(plan: &Plan, kind: membench_bpf::Kind, source: membench_bpf::Error) -> Error {
    match source {
        membench_bpf::Error::MissingCapabilities { .. } => Error::Kernel(source),
        source => Error::Attach {
            hook: plan.hook.to_string(),
            kind,
            source: Box::new(source),
        },
    }
}
