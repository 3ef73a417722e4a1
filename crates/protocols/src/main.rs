//! x
use std::num::NonZeroUsize;
use archipelago_protocols::{collection::Config, search::every_state};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut c = Config::named(&args[1], args[2].parse().unwrap()).unwrap();
    for a in &args[3..] { let (k, v) = a.split_once('=').unwrap(); let n: usize = v.parse().unwrap_or(0);
        match k { "ids" => c.ids = n, "marks" => c.marks = n as u8, "collectors" => c.collectors = n, "names" => c.names = n, "crashes" => c.crashes = n as u8, "rescues"=> c.rescues = n as u8, "binders"=>c.binders=n, "clones"=>c.clones=n>0,"readers"=>c.readers=n>0,"memory"=>c.round=archipelago_protocols::collection::Round::Memory, _ => panic!() } }
    let o = every_state(c, NonZeroUsize::MIN);
    println!("{} states {} steps depth {} never {:?}", o.states, o.steps, o.depth, o.never);
    for b in o.broken { println!("BROKEN {}", b.property); for t in b.trace { println!("  {t}"); } }
}
