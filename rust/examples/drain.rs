//! temporary
use membench::capture::*;
fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let mode = match std::env::args().nth(2).as_deref() { Some("none") => Responses::None, Some("lengths") => Responses::Lengths, _ => Responses::Bytes };
    let mut k = match Kernel::attach(&KernelOptions { ports: vec![port], responses: mode, ring_bytes: 8 << 20 }) { Ok(k) => k, Err(e) => { println!("{e}\n{:?}", e.hint()); return } };
    println!("attached in {:?} {:?}", t.elapsed(), k.facts());
    give_up_privileges().unwrap();
    let verbose = std::env::var("V").is_ok();
    let secs: u64 = std::env::args().nth(3).map_or(5, |s| s.parse().unwrap());
    let t = std::time::Instant::now();
    let mut n = 0;
    while t.elapsed().as_secs() < secs {
        std::thread::sleep(std::time::Duration::from_millis(5));
        n += k.drain(1000000, &mut |r| if verbose { match r {
            Record::Bytes { header, direction, pieces } => println!("{direction:?} {header:?}\n    {:?}", pieces.map(|p| match p { membench::segment::Piece::Bytes(b) => String::from_utf8_lossy(b).into_owned(), membench::segment::Piece::Hole(n) => format!("<{n}>") }).collect::<Vec<_>>()),
            r => println!("{r:?}") } });
    }
    println!("records {n} misses {} malformed {} counters {:?}", k.program_misses().unwrap(), k.malformed(), k.counters());
}
