use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A record in a ring: the thread that wrote it, and its ordinal among that thread's records.
#[derive(Clone, Copy, Debug)]
struct Slot {
    thread: usize,
    ordinal: u32,
    time: u64,
    is_written: bool,
}

/// The next step of a thread: it begins a record, reserves room for it, writes it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Reserve { time: u64, ring: usize },
    Write { ring: usize },
}

/// A clock, rings, and threads that write to them: each thread one record after the other, each record to any ring.
struct World {
    clock: u64,
    rings: Vec<VecDeque<Slot>>,
    /// Number of records ever reserved in each ring.
    reserved: Vec<u64>,
    /// Number of records ever taken from each ring.
    taken: Vec<u64>,
    threads: Vec<(Step, u32)>,
    /// Threads to run next, each with a ring; a number that is no thread's lets the reader run.
    choices: std::vec::IntoIter<(usize, usize)>,
}

impl World {
    fn new(rings: usize, threads: usize, choices: Vec<(usize, usize)>) -> Self {
        Self {
            clock: 1,
            rings: vec![VecDeque::new(); rings],
            reserved: vec![0; rings],
            taken: vec![0; rings],
            threads: vec![(Step::Begin, 0); threads],
            choices: choices.into_iter(),
        }
    }

    /// Runs threads until it is the reader's turn.
    fn run_writers(&mut self) {
        while let Some((thread, ring)) = self.choices.next() {
            if thread >= self.threads.len() {
                return;
            }
            self.step(thread, ring % self.rings.len());
        }
    }

    fn step(&mut self, thread: usize, ring: usize) {
        self.clock += 1;
        let (step, ordinal) = self.threads[thread];
        self.threads[thread] = match step {
            Step::Begin => {
                let time = self.clock;
                (Step::Reserve { time, ring }, ordinal)
            }
            Step::Reserve { time, ring } => {
                let slot = Slot {
                    thread,
                    ordinal,
                    time,
                    is_written: false,
                };
                self.rings[ring].push_back(slot);
                self.reserved[ring] += 1;
                (Step::Write { ring }, ordinal)
            }
            Step::Write { ring } => {
                let mut slots = self.rings[ring].iter_mut();
                let own = slots.find(|slot| slot.thread == thread && !slot.is_written);
                own.unwrap().is_written = true;
                (Step::Begin, ordinal + 1)
            }
        };
    }

    /// Runs each thread until it has written the record that it began.
    fn settle(&mut self) {
        for thread in 0..self.threads.len() {
            while !matches!(self.threads[thread].0, Step::Begin) {
                self.step(thread, 0);
            }
        }
    }

    fn head(&mut self, ring: usize, end: u64) -> Head {
        self.run_writers();
        match self.rings[ring].front() {
            Some(slot) if slot.is_written => Head::Record(slot.time),
            _ if self.taken[ring] >= end => Head::Empty,
            _ => Head::Busy,
        }
    }

    /// Makes one sweep while the threads run.
    fn sweep(&mut self, merge: &mut Merge) -> Vec<Slot> {
        merge.begin(self.clock);
        let mut ends = Vec::new();
        for ring in 0..self.rings.len() {
            self.run_writers();
            ends.push(self.reserved[ring]);
            let head = self.head(ring, ends[ring]);
            merge.show(ring, head);
        }
        let mut handed_on = Vec::new();
        while let Some(ring) = merge.next() {
            handed_on.extend(self.rings[ring].pop_front());
            self.taken[ring] += 1;
            let head = self.head(ring, ends[ring]);
            merge.show(ring, head);
        }
        handed_on
    }
}

proptest! {
    /// However threads move between rings and are interrupted, the records of each come out in order, and all of them do.
    #[test]
    fn the_records_of_a_thread_keep_their_order(
        rings in 1_usize..5,
        threads in 1_usize..5,
        choices in proptest::collection::vec((0_usize..7, 0_usize..5), 0..400),
    ) {
        let mut world = World::new(rings, threads, choices);
        let mut merge = Merge::new(rings);
        let mut next = vec![0; threads];
        let mut take = |slots: Vec<Slot>| {
            for slot in slots {
                prop_assert_eq!(slot.ordinal, next[slot.thread]);
                next[slot.thread] += 1;
            }
            Ok(())
        };
        while world.choices.len() > 0 {
            take(world.sweep(&mut merge))?;
        }
        world.settle();
        take(world.sweep(&mut merge))?;
        let made: Vec<u32> = world.threads.iter().map(|(_, ordinal)| *ordinal).collect();
        prop_assert_eq!(next, made);
    }
}

/// Begins a sweep with these heads, and returns the rings in the order of their turns.
fn turns(merge: &mut Merge, now: u64, heads: &[Head]) -> Vec<usize> {
    merge.begin(now);
    for (ring, head) in heads.iter().enumerate() {
        merge.show(ring, *head);
    }
    std::iter::from_fn(|| merge.next()).collect()
}

#[test]
fn the_earliest_head_is_next_and_records_later_than_the_sweep_wait() {
    let mut merge = Merge::new(3);
    let heads = [Head::Record(7), Head::Record(5), Head::Record(11)];
    assert_eq!(turns(&mut merge, 10, &heads), [1, 0]);
    assert_eq!(turns(&mut merge, 11, &heads[2..]), [0]);
}

#[test]
fn a_record_being_written_holds_up_records_later_than_the_last_before_it() {
    let mut merge = Merge::new(2);
    assert_eq!(
        turns(&mut merge, 100, &[Head::Record(50), Head::Empty]),
        [0]
    );
    assert_eq!(
        turns(&mut merge, 200, &[Head::Busy, Head::Record(51)]),
        [0_usize; 0]
    );
    assert_eq!(turns(&mut merge, 200, &[Head::Busy, Head::Record(50)]), [1]);
}

#[test]
fn a_ring_that_was_empty_holds_up_records_made_since() {
    let mut merge = Merge::new(2);
    assert_eq!(turns(&mut merge, 100, &[Head::Empty, Head::Empty]), [0; 0]);
    let heads = [Head::Busy, Head::Record(100)];
    assert_eq!(turns(&mut merge, 200, &heads), [1]);
    let heads = [Head::Busy, Head::Record(101)];
    assert_eq!(turns(&mut merge, 200, &heads), [0; 0]);
}

#[test]
fn a_writer_that_was_stopped_holds_up_the_others_for_two_pauses_only() {
    let mut merge = Merge::new(2);
    let heads = [Head::Busy, Head::Record(1)];
    assert_eq!(turns(&mut merge, PATIENCE_NS, &heads), [0; 0]);
    assert_eq!(turns(&mut merge, PATIENCE_NS + 1, &heads), [1]);
}
