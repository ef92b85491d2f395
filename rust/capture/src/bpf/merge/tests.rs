use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A record, by the thread that writes it and its ordinal there.
#[derive(Clone, Copy, Debug)]
struct Slot {
    thread: usize,
    ordinal: u32,
    time: u64,
    is_written: bool,
}

/// What a thread does next: begin a record, reserve its room, write it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Reserve { time: u64, ring: usize },
    Write { ring: usize },
}

/// Threads that write to rings, each of them one record after the other, each record to any ring; and a clock.
struct World {
    clock: u64,
    rings: Vec<VecDeque<Slot>>,
    /// Records that were ever reserved and taken, of each ring.
    reserved: Vec<u64>,
    taken: Vec<u64>,
    threads: Vec<(Step, u32)>,
    /// Who goes on, and to which ring.
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

    /// Lets threads go on until it is the reader's turn.
    fn go_on(&mut self) {
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

    /// Lets every thread write what it has begun.
    fn settle(&mut self) {
        for thread in 0..self.threads.len() {
            while !matches!(self.threads[thread].0, Step::Begin) {
                self.step(thread, 0);
            }
        }
    }

    fn look(&mut self, ring: usize, end: u64) -> Look {
        self.go_on();
        match self.rings[ring].front() {
            Some(slot) if slot.is_written => Look::Record(slot.time),
            _ if self.taken[ring] >= end => Look::Empty,
            _ => Look::Busy,
        }
    }

    /// One sweep, while the threads go on.
    fn sweep(&mut self, merge: &mut Merge) -> Vec<Slot> {
        merge.begin(self.clock);
        let mut ends = Vec::new();
        for ring in 0..self.rings.len() {
            self.go_on();
            ends.push(self.reserved[ring]);
            let look = self.look(ring, ends[ring]);
            merge.show(ring, look);
        }
        let mut handed_on = Vec::new();
        while let Some(ring) = merge.next() {
            handed_on.extend(self.rings[ring].pop_front());
            self.taken[ring] += 1;
            let look = self.look(ring, ends[ring]);
            merge.show(ring, look);
        }
        handed_on
    }
}

proptest! {
    /// However threads wander between rings and are interrupted, what each of them did comes out in order and whole.
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

/// Shows what is at the heads, and returns the rings in the order of their turns.
fn turns(merge: &mut Merge, now: u64, heads: &[Look]) -> Vec<usize> {
    merge.begin(now);
    for (ring, look) in heads.iter().enumerate() {
        merge.show(ring, *look);
    }
    std::iter::from_fn(|| merge.next()).collect()
}

#[test]
fn the_earliest_head_is_next_and_what_is_later_than_the_sweep_waits() {
    let mut merge = Merge::new(3);
    let heads = [Look::Record(7), Look::Record(5), Look::Record(11)];
    assert_eq!(turns(&mut merge, 10, &heads), [1, 0]);
    assert_eq!(turns(&mut merge, 11, &heads[2..]), [0]);
}

#[test]
fn a_record_being_written_holds_up_what_is_later_than_the_last_before_it() {
    let mut merge = Merge::new(2);
    assert_eq!(
        turns(&mut merge, 100, &[Look::Record(50), Look::Empty]),
        [0]
    );
    assert_eq!(
        turns(&mut merge, 200, &[Look::Busy, Look::Record(51)]),
        [0_usize; 0]
    );
    assert_eq!(turns(&mut merge, 200, &[Look::Busy, Look::Record(50)]), [1]);
}

#[test]
fn a_ring_that_was_empty_holds_up_what_came_after() {
    let mut merge = Merge::new(2);
    assert_eq!(turns(&mut merge, 100, &[Look::Empty, Look::Empty]), [0; 0]);
    let heads = [Look::Busy, Look::Record(100)];
    assert_eq!(turns(&mut merge, 200, &heads), [1]);
    let heads = [Look::Busy, Look::Record(101)];
    assert_eq!(turns(&mut merge, 200, &heads), [0; 0]);
}

#[test]
fn a_writer_that_was_stopped_holds_up_the_others_for_two_pauses_only() {
    let mut merge = Merge::new(2);
    let heads = [Look::Busy, Look::Record(1)];
    assert_eq!(turns(&mut merge, PATIENCE_NS, &heads), [0; 0]);
    assert_eq!(turns(&mut merge, PATIENCE_NS + 1, &heads), [1]);
}
