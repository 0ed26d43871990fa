//! `/proc/stat`: where the CPUs spend their time, and how busy the kernel's scheduler is.

use super::file::{Buffer, KeptFile};
use super::parse::{fields, lines, number};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// What a CPU does, in the order of a `cpu` line (proc(5)). `guest` and `guest_nice` follow, but are part of `user` and
/// `nice` already.
const STATES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const IOWAIT: usize = 4;
/// Which of them are told for each single CPU, beside `busy`: enough to see one that is stuck, without eight metrics
/// for each of 64 CPUs.
const PER_CPU: [usize; 5] = [0, 2, 4, 6, 7];

/// Counters (as rates) and levels of the lines below the CPUs.
const RATES: [(&str, &str); 4] = [
    ("ctxt", "procs/context_switches"),
    ("intr", "procs/interrupts"),
    ("processes", "procs/forks"),
    ("softirq", "procs/softirqs"),
];
const LEVELS: [(&str, &str); 2] = [("procs_running", "procs/running"), ("procs_blocked", "procs/blocked")];

/// One `cpu` line: fractions of its time, 0 to 1.
struct Cpu {
    label: Vec<u8>,
    states: [Slot; 8],
    busy: Slot,
    before: Option<[u64; 8]>,
}

/// Reads `/proc/stat`. A CPU's time is in ticks of 10 ms, so at an interval of 100 ms a fraction has steps of 0.1 for
/// one CPU.
pub(super) struct CpuReader {
    file: KeptFile,
    max_cpus: usize,
    cpus: Vec<Cpu>,
    rates: [Slot; 4],
    levels: [Slot; 2],
    changed: bool,
}

impl CpuReader {
    pub(super) fn new(roots: &Roots, max_cpus: usize) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("stat")),
            max_cpus,
            cpus: Vec::new(),
            rates: [Slot::NONE; 4],
            levels: [Slot::NONE; 2],
            changed: false,
        }
    }
}

impl Reader for CpuReader {
    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.changed = false;
        let mut before: Vec<Cpu> = std::mem::take(&mut self.cpus);
        self.rates = [Slot::NONE; 4];
        self.levels = [Slot::NONE; 2];
        let Some(bytes) = self.file.read(buffer) else { return };
        for line in lines(bytes) {
            let mut line = fields(line);
            let Some(label) = line.next() else { continue };
            if let Some(cpu) = label.strip_prefix(b"cpu") {
                // The whole stands first, as `cpu`, so the limit is one more.
                if !cpu.is_empty() && number(cpu).is_none() {
                    continue;
                }
                if self.cpus.len() > self.max_cpus {
                    names.refuse(PER_CPU.len() + 1);
                    continue;
                }
                let prefix = match number(cpu) {
                    Some(number) => format!("cpu/{number}"),
                    None => "cpu".to_owned(),
                };
                let mut states = [Slot::NONE; 8];
                for (i, state) in STATES.iter().enumerate() {
                    if cpu.is_empty() || PER_CPU.contains(&i) {
                        states[i] = names.add(&format!("{prefix}/{state}"));
                    }
                }
                let busy = names.add(&format!("{prefix}/busy"));
                let known = before.iter_mut().find(|known| known.label == label);
                let before = known.and_then(|known| known.before.take());
                self.cpus.push(Cpu { label: label.to_owned(), states, busy, before });
            } else if let Some(i) = RATES.iter().position(|(key, _)| key.as_bytes() == label) {
                self.rates[i] = names.add(RATES[i].1);
            } else if let Some(i) = LEVELS.iter().position(|(key, _)| key.as_bytes() == label) {
                self.levels[i] = names.add(LEVELS[i].1);
            }
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        let mut at = 0;
        for line in lines(bytes) {
            let mut line = fields(line);
            let Some(label) = line.next() else { continue };
            if label.starts_with(b"cpu") {
                // CPUs stand in their order; one that was switched off is stepped over.
                let place = self.cpus.iter().skip(at).position(|cpu| cpu.label == label);
                let Some(skipped) = place else {
                    self.changed |= self.cpus.len() <= self.max_cpus;
                    continue;
                };
                self.changed |= skipped > 0;
                at += skipped;
                let mut ticks = [0; 8];
                let complete = line.numbers(&mut ticks);
                if let Some(cpu) = self.cpus.get_mut(at) {
                    cpu.fill(complete.then_some(ticks), slots);
                }
                at += 1;
            } else if let Some(i) = RATES.iter().position(|(key, _)| key.as_bytes() == label) {
                // Only the first number: the line of interrupts goes on with one for each of hundreds.
                if let Some(total) = line.number() {
                    slots.rate(self.rates[i], total, 1.0);
                }
            } else if let Some(i) = LEVELS.iter().position(|(key, _)| key.as_bytes() == label)
                && let Some(level) = line.number()
            {
                slots.set(self.levels[i], level as f64);
            }
        }
        self.changed |= at < self.cpus.len();
        for away in self.cpus.iter_mut().skip(at) {
            away.before = None;
        }
    }

    fn changed(&mut self, _: &mut Buffer) -> bool {
        self.changed
    }
}

impl Cpu {
    fn fill(&mut self, ticks: Option<[u64; 8]>, slots: &mut Slots<'_>) {
        let (Some(now), Some(before)) = (ticks, std::mem::replace(&mut self.before, ticks)) else { return };
        let mut spent = [0.0; 8];
        let mut sum = 0.0;
        for i in 0..8 {
            spent[i] = match now[i].checked_sub(before[i]) {
                Some(growth) => growth as f64,
                // The kernel lets these two fall a little now and then (proc(5)): that is no reset.
                None if i == IDLE || i == IOWAIT => 0.0,
                None => return,
            };
            sum += spent[i];
        }
        if sum > 0.0 {
            for (slot, spent) in self.states.iter().zip(spent) {
                slots.set(*slot, spent / sum);
            }
            slots.set(self.busy, (sum - spent[IDLE] - spent[IOWAIT]) / sum);
        }
    }
}
