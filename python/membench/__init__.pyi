from . import bpf as bpf, errors as errors
from ._analysis import (
    Analysis as Analysis,
    Overview as Overview,
    analyze as analyze,
)
from ._analysis.distributions import (
    Bin as Bin,
    Quantiles as Quantiles,
    Series as Series,
)
from ._analysis.items import (
    CommonTtl as CommonTtl,
    Keys as Keys,
    Knee as Knee,
    Memory as Memory,
    Point as Point,
    PopularKey as PopularKey,
    Sizes as Sizes,
    TopShare as TopShare,
    Ttl as Ttl,
    WorkingSet as WorkingSet,
    Zipf as Zipf,
)
from ._analysis.requests import (
    Burst as Burst,
    CommandShare as CommandShare,
    CommandTimes as CommandTimes,
    Connections as Connections,
    HitRatio as HitRatio,
    Hits as Hits,
    Misses as Misses,
    OutcomeCount as OutcomeCount,
    Requests as Requests,
    Times as Times,
)
from ._causes import (
    ChangeVerdict as ChangeVerdict,
)
from ._demo.demonstrate import (
    Demo as Demo,
    DemoStep as DemoStep,
    demo as demo,
)
from ._doctor.diagnose import (
    Diagnosis as Diagnosis,
    SourceVerdict as SourceVerdict,
    Trial as Trial,
    doctor as doctor,
)
from ._doctor.forecast import (
    Forecast as Forecast,
    OperationCost as OperationCost,
)
from ._doctor.host import (
    Identity as Identity,
    Machine as Machine,
    Server as Server,
)
from ._doctor.policy import (
    KernelPolicy as KernelPolicy,
)
from ._doctor.toolchain import (
    Tool as Tool,
)
from ._hint import (
    Hint as Hint,
)
from ._host import (
    HostDifference as HostDifference,
    HostFacts as HostFacts,
    ServerFacts as ServerFacts,
)
from ._keygen import (
    keygen as keygen,
)
from ._ledger import (
    Flow as Flow,
    Ledger as Ledger,
    Packets as Packets,
    ServerFlows as ServerFlows,
)
from ._merge import (
    merge_runs as merge_runs,
)
from ._metrics import (
    Check as Check,
)
from ._native import (
    Batch as Batch,
    Event as Event,
    Table as Table,
    __version__ as __version__,
)
from ._observe.beside import (
    ObservedBeside as ObservedBeside,
)
from ._observe.observe import (
    Observation as Observation,
    ObserveInterval as ObserveInterval,
    observe as observe,
)
from ._observe.results import (
    Account as Account,
    BusyConnections as BusyConnections,
    CommandRequests as CommandRequests,
    ConnectionRequests as ConnectionRequests,
    Culprit as Culprit,
    Host as Host,
    Missing as Missing,
    ObservedServer as ObservedServer,
    PartTimes as PartTimes,
    RequestMisses as RequestMisses,
    ServerThread as ServerThread,
    SlowRequest as SlowRequest,
    TcpEvents as TcpEvents,
    TcpHealth as TcpHealth,
    Verdict as Verdict,
    Worker as Worker,
)
from ._options import (
    Guards as Guards,
    Rotation as Rotation,
    Selection as Selection,
)
from ._probe import (
    Bucket as Bucket,
    FoundHook as FoundHook,
    Histogram as Histogram,
    HitGroup as HitGroup,
    HitStack as HitStack,
    LostHits as LostHits,
    Probe as Probe,
    ProbeInterval as ProbeInterval,
    find_hooks as find_hooks,
    probe as probe,
)
from ._profile import (
    Anchor as Anchor,
    Profile as Profile,
    Summary as Summary,
    Verification as Verification,
    open as open,
    repair as repair,
)
from ._reads import (
    Reads as Reads,
)
from ._record import (
    Capture as Capture,
    Cost as Cost,
    Difference as Difference,
    Ended as Ended,
    Limits as Limits,
    Pace as Pace,
    Recording as Recording,
    ServerStatus as ServerStatus,
    Status as Status,
    Yielding as Yielding,
    record as record,
)
from ._replay import (
    Durations as Durations,
    Expiries as Expiries,
    FillCounts as FillCounts,
    Generator as Generator,
    Outcomes as Outcomes,
    Percentiles as Percentiles,
    Progress as Progress,
    ReplayResult as ReplayResult,
    ServerCounters as ServerCounters,
    StoredHistograms as StoredHistograms,
    Target as Target,
    TargetShare as TargetShare,
    Warm as Warm,
    replay as replay,
)
from ._report import (
    Period as Period,
    ProfileReport as ProfileReport,
    ServerStatistics as ServerStatistics,
    SlowSecond as SlowSecond,
    Spread as Spread,
    report_on as report_on,
)
from ._runs import (
    Change as Change,
    ChangeBounds as ChangeBounds,
    ChangeCheck as ChangeCheck,
    Comparison as Comparison,
    compare as compare,
    open_run as open_run,
)
from ._sample import (
    Sample as Sample,
)
from ._server_run import (
    ServerRun as ServerRun,
)
from ._sources import (
    SourceKind as SourceKind,
)
from ._top import (
    BusyClient as BusyClient,
    CommandCounts as CommandCounts,
    HotKey as HotKey,
    Snapshot as Snapshot,
    Top as Top,
    top as top,
)
from ._trace import (
    Call as Call,
    CallsLost as CallsLost,
    CallsSkipped as CallsSkipped,
    CallTally as CallTally,
    CallTotal as CallTotal,
    Exchanged as Exchanged,
    Trace as Trace,
    trace as trace,
)
from .errors import (
    CaptureUnavailableError as CaptureUnavailableError,
    MembenchError as MembenchError,
    OutputExistsError as OutputExistsError,
    ProfileError as ProfileError,
    TargetError as TargetError,
    UsageError as UsageError,
)
