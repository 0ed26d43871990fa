//! The template of a body: what stood between its values last time.

/// Stands for a series that is known but has no slot in the schema.
pub(super) const LEFT_OUT: u32 = u32::MAX;

/// Stands for a series that has no step in the template.
pub(super) const NO_STEP: u32 = u32::MAX;

/// One literal of the template, comments and series up to the value, and the slot that the value belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    start: usize,
    /// The bytes of the literal.
    pub(super) length: usize,
    /// How many of them, at its end, belong to the value's own line.
    pub(super) head: usize,
    /// Where the value goes.
    pub(super) slot: u32,
}

/// A body is `literal value literal value …`, and from scrape to scrape only the values change. So the literals are
/// kept and compared as a whole: a match recognises comments, name and labels at the speed of `memcmp`, without looking
/// for line breaks and without hashing. What doesn't match is parsed line by line, and the next series that is known
/// leads back into the template. Hot path: allocates nothing once a body of this shape was learnt.
#[derive(Debug)]
pub(super) struct Template {
    text: Vec<u8>,
    steps: Vec<Step>,
    next: usize,
    predicts: bool,
    /// What the present body looks like; starts are positions in the body.
    trace: Vec<Step>,
    literal_start: usize,
    outdated: bool,
    max_bytes: usize,
    max_steps: usize,
}

impl Template {
    /// An empty one that keeps within these limits.
    pub(super) fn new(max_bytes: usize, max_steps: usize) -> Self {
        Self {
            text: Vec::new(),
            steps: Vec::new(),
            next: 0,
            predicts: true,
            trace: Vec::new(),
            literal_start: 0,
            outdated: false,
            max_bytes,
            max_steps,
        }
    }

    /// Starts on a new body.
    pub(super) fn begin(&mut self) {
        self.next = 0;
        self.predicts = true;
        self.trace.clear();
        self.literal_start = 0;
        self.outdated = false;
    }

    /// Forgets what it knows.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.steps.clear();
    }

    /// The step that is due, if `rest` starts with its literal.
    #[inline]
    pub(super) fn predict(&self, rest: &[u8]) -> Option<Step> {
        let step = self.steps.get(self.next).filter(|_| self.predicts)?;
        let literal = self.text.get(step.start..step.start + step.length)?;
        rest.starts_with(literal).then_some(*step)
    }

    /// Goes on to the next step.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Goes on behind the step of a series that was found without a prediction.
    pub(super) fn resume_behind(&mut self, step: u32) {
        self.outdated = true;
        if step != NO_STEP {
            self.next = step as usize + 1;
        }
    }

    /// Predicts nothing for the rest of this body: every line of it must be looked at.
    pub(super) fn stop_predicting(&mut self) {
        self.predicts = false;
    }

    /// Notes a sample of the present body: where its line and value start, where the next line starts.
    #[inline]
    pub(super) fn note(&mut self, (line, value): (usize, usize), next_line: usize, slot: u32) {
        if self.trace.len() < self.max_steps {
            let (start, head) = (self.literal_start, value - line);
            self.trace.push(Step { start, length: value - start, head, slot });
        }
        self.literal_start = next_line;
    }

    /// Notes that the line before `next_line` must be looked at each time: no literal spans it.
    pub(super) fn cut(&mut self, next_line: usize) {
        self.literal_start = next_line;
    }

    /// Follows series to their new slots.
    pub(super) fn renumber(&mut self, new_slots: &[u32]) {
        self.outdated = true;
        for step in &mut self.trace {
            step.slot = new_slots.get(step.slot as usize).copied().unwrap_or(LEFT_OUT);
        }
    }

    /// Whether the body that was read differs from the template.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Takes the body that was read as the template; tells `place` the step of each slot.
    pub(super) fn learn(&mut self, body: &[u8], mut place: impl FnMut(u32, u32)) {
        self.clear();
        for step in &self.trace {
            let literal = body.get(step.start..step.start + step.length).unwrap_or_default();
            if self.text.len() + literal.len() > self.max_bytes {
                break;
            }
            place(step.slot, self.steps.len() as u32);
            self.steps.push(Step { start: self.text.len(), ..*step });
            self.text.extend_from_slice(literal);
        }
    }
}
