//! Events in order of time → the requested analyses, in one pass.

use super::commands::CommandCounts;
use super::connections::ConnectionCounts;
use super::effect::{Effect, Effects};
use super::hits::HitCounts;
use super::items::{Access, Items};
use super::keys::KeyCounts;
use super::memory::MemoryUse;
use super::misses::Misses;
use super::numbering::Numbering;
use super::operation::{Kind, Operation};
use super::requests::RequestRate;
use super::section::Section;
use super::sizes::SizeCounts;
use super::times::TimeCounts;
use super::ttl::TtlCounts;
use super::working_set::WorkingSetCounts;
use super::{Analysis, Context, Options, Overview, SCHEMA_VERSION};
use crate::Result;
use membench_event::Event;
use membench_event::Sample;

/// State that the analyses share, and the analyses themselves.
pub(super) struct Pass<'a> {
    context: &'a Context,
    effects: Effects,
    keys: Numbering,
    connections: Numbering,
    items: Items,
    /// Events of the current request. It is a multi-get if there are several.
    request: Vec<Event>,
    start: Option<u64>,
    end: u64,
    analyses: Analyses,
}

/// The analyses; `None` if not requested.
struct Analyses {
    requests: Option<RequestRate>,
    commands: Option<CommandCounts>,
    hits: Option<HitCounts>,
    misses: Option<Misses>,
    keys: Option<KeyCounts>,
    sizes: Option<SizeCounts>,
    ttl: Option<TtlCounts>,
    connections: Option<ConnectionCounts>,
    working_set: Option<WorkingSetCounts>,
    memory: Option<MemoryUse>,
    times: Option<TimeCounts>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &'a Context, options: &Options) -> Self {
        Self {
            context,
            effects: Effects::new(&context.options),
            keys: Numbering::default(),
            connections: Numbering::default(),
            items: Items::new(options.item_size),
            request: Vec::new(),
            start: context.start,
            end: 0,
            analyses: Analyses::new(options).with_sample(context.sample),
        }
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: Event) -> Result<()> {
        let continues = self.request.first().is_some_and(|first| {
            first.connection == event.connection && first.request == event.request
        });
        if !continues {
            self.end_request()?;
        }
        self.request.push(event);
        Ok(())
    }

    fn end_request(&mut self) -> Result<()> {
        let request = std::mem::take(&mut self.request);
        let keys = u32::try_from(request.len()).unwrap_or(u32::MAX);
        for (index, event) in request.iter().enumerate() {
            self.operation(event, keys, index == 0)?;
        }
        self.request = request;
        self.request.clear();
        Ok(())
    }

    fn operation(&mut self, event: &Event, keys: u32, first: bool) -> Result<()> {
        let start = *self.start.get_or_insert(event.time);
        let time = event.time.saturating_sub(start);
        self.end = self.end.max(time);
        let operation = Operation {
            event,
            kind: Kind::new(event.command, keys),
            first,
            keys,
            time,
            connection: self.connections.number(u64::from(event.connection))?,
            access: self.access(event, time)?,
        };
        self.analyses.observe(&operation);
        Ok(())
    }

    fn access(&mut self, event: &Event, time: u64) -> Result<Option<Access>> {
        let effect = self.effects.effect(event);
        if effect == Effect::Flush {
            self.items.flush(event, time);
        }
        let Some(id) = event.key else {
            return Ok(None);
        };
        let key = self.keys.number(id)?;
        Ok(Some(self.items.access(key, effect, event, time)))
    }

    pub(super) fn finish(mut self) -> Result<Analysis> {
        self.end_request()?;
        let duration = self.context.duration.unwrap_or(self.end).max(self.end);
        let known = self.context.connections.as_ref();
        let analyses = self.analyses;
        Ok(Analysis {
            schema_version: SCHEMA_VERSION,
            profile: Overview {
                duration_s: super::numbers::float(duration) / 1e9,
                ..self.context.overview.clone()
            },
            requests: analyses.requests.map(|it| it.finish(duration)),
            commands: analyses.commands.map(|it| it.finish()),
            hits: analyses.hits.map(|it| it.finish()),
            misses: analyses.misses,
            keys: analyses.keys.map(|it| it.finish(&self.keys)),
            sizes: analyses.sizes.map(|it| it.finish(&self.items)),
            ttl: analyses.ttl.map(|it| it.finish(duration)),
            connections: analyses.connections.map(|it| it.finish(known)),
            working_set: analyses.working_set.map(|it| it.finish()),
            memory: analyses.memory.map(|it| it.finish()),
            times: analyses.times.map(|it| it.finish()),
        })
    }
}

impl Analyses {
    fn new(options: &Options) -> Self {
        Self {
            requests: if_included(options, Section::Requests),
            commands: if_included(options, Section::Commands),
            hits: if_included(options, Section::Hits),
            misses: if_included(options, Section::Misses),
            keys: if_included(options, Section::Keys),
            sizes: if_included(options, Section::Sizes),
            ttl: if_included(options, Section::Ttl),
            connections: if_included(options, Section::Connections),
            working_set: if_included(options, Section::WorkingSet),
            memory: if_included(options, Section::Memory),
            times: if_included(options, Section::Times),
        }
    }

    /// Scales distances between uses of sampled keys to distances between uses of all keys.
    fn with_sample(mut self, sample: Sample) -> Self {
        self.memory = self.memory.map(|memory| memory.with_sampling(sample.keys));
        self
    }

    fn observe(&mut self, operation: &Operation) {
        macro_rules! observe {
            ($($analysis:ident),*) => {
                // Every analysis is named here, or this does not compile.
                let Self { $($analysis),* } = self;
                $(if let Some(analysis) = $analysis { analysis.observe(operation); })*
            };
        }
        observe!(
            requests,
            commands,
            hits,
            misses,
            keys,
            sizes,
            ttl,
            connections,
            working_set,
            memory,
            times
        );
    }
}

fn if_included<A: Default>(options: &Options, section: Section) -> Option<A> {
    options.includes(section).then(A::default)
}
