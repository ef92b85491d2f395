//! Blocks of operations → the cost of sending them in a closed loop: what `benches/replay` and `rust/fuzz` need of this
//! crate. Not part of the API.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{channel, sync_channel};

use membench_event::OptionsTable;

use crate::late::Late;
use crate::make::content::Content;
use crate::make::opaque::Opaque;
use crate::make::request::RequestWriter;
use crate::make::template::Templates;
use crate::shard::connection::Shared;
use crate::shard::pool::Connections;
use crate::shard::{Flow, Shard, Wait};
use crate::target::address::Address;
use crate::target::endpoint::Endpoints;
use crate::target::{Access, Target};

pub use crate::clock::{monotonic, thread_cpu};
pub use crate::operation::{Block, Kind, Marks, Operation};
pub use crate::shard::poller::{Poller, Ready};
pub use crate::shard::processors::{for_shards, pin};

/// Cost of a closed loop.
#[derive(Clone, Copy, Debug)]
pub struct LoopCost {
    /// Requests answered.
    pub answered: u64,
    /// CPU time of the calling thread during the loop, ns.
    pub cpu: u64,
}

/// Sends `blocks` to `target` from the calling thread, with at most `window` requests outstanding on each connection.
/// With `receive_stamps`, the kernel stamps the answers.
pub fn closed_loop(
    target: SocketAddr,
    blocks: Vec<Block>,
    window: usize,
    receive_stamps: bool,
) -> io::Result<LoopCost> {
    let (sender, receiver) = sync_channel(blocks.len());
    for block in blocks {
        sender
            .send(block)
            .expect("the channel has room for every block");
    }
    drop(sender);
    let (intervals, _reports) = channel();
    let connections = Connections::new(
        Endpoints::only(Address::from(target).into()),
        receive_stamps,
        Arc::default(),
        Shared::new(
            RequestWriter::new(templates(), &Content::default()),
            Late::default(),
        ),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let mut shard = Shard::new(
        connections,
        receiver,
        (Flow::Window(window), Late::default(), Wait::Hybrid),
        (0, intervals),
        stop,
    )?;
    shard.prepare()?;
    let result = shard.run(monotonic())?;
    Ok(LoopCost {
        answered: result.measures.counts.answered,
        cpu: result.cpu,
    })
}

/// Asks a target (`HOST:PORT`) what a replay asks before it begins.
pub fn ask(target: &str) -> crate::Result<()> {
    let mut target = Target::connect(target, &Access::default())?;
    let statistics = target.statistics()?;
    target.refuse_if_busy(&statistics)
}

/// Returns the bytes of each operation as a request of its own.
pub fn encode(operations: impl IntoIterator<Item = Operation>) -> Vec<Vec<u8>> {
    let mut requests = RequestWriter::new(templates(), &Content::default());
    let encode = |operation| {
        let mut bytes = Vec::new();
        requests.append(&mut bytes, &[operation], Opaque::default());
        bytes
    };
    operations.into_iter().map(encode).collect()
}

/// Makes the templates of a recording without options.
fn templates() -> Arc<Templates> {
    Arc::new(Templates::new(&OptionsTable::default()))
}
