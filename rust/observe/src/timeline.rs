//! Slow requests → a timeline: a track a worker, with a slice a request and one in it for each part.

use std::collections::HashMap;

use membench_event::Timeline;

use crate::{SlowRequest, interval::PARTS};

/// Most lanes of a worker: requests that overlap are drawn on lanes beside each other.
const LANES: u64 = 1 << 16;

/// A timeline of slow requests, which are given interval by interval.
pub(crate) struct Drawing {
    timeline: Timeline,
    /// By thread: the end of the last request on each of its lanes, ns. Slices of a track must not cross.
    lanes: HashMap<u32, Vec<u64>>,
}

impl Drawing {
    pub(crate) fn new() -> Self {
        Self {
            timeline: Timeline::new("request"),
            lanes: HashMap::new(),
        }
    }

    /// Draws requests. `offset` is UTC minus the clock of the timeline, ns.
    pub(crate) fn draw(&mut self, requests: &[SlowRequest], offset: i64) {
        let mut requests: Vec<&SlowRequest> = requests.iter().collect();
        requests.sort_by_key(|request| request.time_ns);
        for request in requests {
            self.draw_one(request, request.time_ns.saturating_sub(offset));
        }
    }

    fn draw_one(&mut self, request: &SlowRequest, began: i64) {
        let began = u64::try_from(began).unwrap_or(0);
        let ended = began.saturating_add(request.whole_ns);
        let track = self.track(request, began, ended);
        let (read, sent) = (
            request.request_bytes.to_string(),
            request.answer_bytes.to_string(),
        );
        let facts = [
            ("client", request.client.as_str()),
            ("answer", request.answer.unwrap_or_default()),
            ("request_bytes", &read),
            ("answer_bytes", &sent),
        ];
        let name = request.command.unwrap_or("request");
        self.timeline.begin(track, began, name, &facts);
        let mut time = began;
        for part in PARTS {
            let length = request.parts_ns.get(part).copied().unwrap_or(0);
            if length > 0 {
                self.timeline.begin(track, time, part, &[]);
                time = time.saturating_add(length);
                self.timeline.end(track, time);
            }
        }
        self.timeline.end(track, ended);
    }

    /// Returns a track of the request's worker that is free at that time.
    fn track(&mut self, request: &SlowRequest, began: u64, ended: u64) -> u64 {
        let thread = u64::from(request.thread);
        let lanes = self.lanes.entry(request.thread).or_default();
        let free = lanes.iter().position(|end| *end <= began);
        let lane = free.unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(end) => *end = ended,
            None => lanes.push(ended),
        }
        let worker = thread * LANES;
        self.timeline
            .thread_track(worker, request.process, request.thread, &request.name);
        let lane = (lane as u64).min(LANES - 1);
        if lane > 0 {
            let name = format!("{} {}", request.name, request.thread);
            self.timeline
                .named_track(worker + lane, Some(worker), &name);
        }
        worker + lane
    }

    /// Hands over the bytes so far.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.timeline.take()
    }
}
