//! Stacks with their counts → lines of folded stacks, and a flame graph.

use std::collections::BTreeMap;

use inferno::flamegraph::{self, Options};

use crate::{Error, Result, interval::Stack};

/// Width of the picture, pixels.
const WIDTH: usize = 1200;

/// Stacks of the same functions, as other tools fold them: `process;outermost;…;innermost` and the count.
#[derive(Default)]
pub(crate) struct Folded(BTreeMap<String, u64>);

impl Folded {
    pub(crate) fn add(&mut self, stack: &Stack) {
        let process = match &stack.name {
            Some(name) => clean(name),
            None => format!("pid {}", stack.process),
        };
        let frames = stack.frames.iter().rev().map(|frame| clean(frame));
        let folded: Vec<String> = std::iter::once(process).chain(frames).collect();
        *self.0.entry(folded.join(";")).or_default() += stack.count;
    }

    /// Returns the lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.iter();
        lines
            .map(|(stack, count)| format!("{stack} {count}"))
            .collect()
    }

    /// Draws a flame graph (SVG); fails if there is no stack.
    pub(crate) fn draw(&self, title: &str) -> Result<Vec<u8>> {
        if self.0.is_empty() {
            return Err(Error::NoStack);
        }
        let mut options = Options::default();
        options.title = title.into();
        options.image_width = Some(WIDTH);
        options.count_name = "hits".into();
        options.deterministic = true;
        let lines = self.lines();
        let mut drawn = Vec::new();
        let lines = lines.iter().map(String::as_str);
        flamegraph::from_lines(&mut options, lines, &mut drawn).map_err(Error::Drawing)?;
        Ok(drawn)
    }
}

/// Takes out what parts frames and lines.
fn clean(name: &str) -> String {
    name.replace([';', '\n'], ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(count: u64, frames: &[&str]) -> Stack {
        Stack {
            count,
            process: 7,
            name: Some("a;b".into()),
            frames: frames.iter().map(|frame| (*frame).to_owned()).collect(),
        }
    }

    #[test]
    fn the_same_functions_are_one_line_from_the_outermost_on() {
        let mut folded = Folded::default();
        folded.add(&stack(2, &["inner", "outer"]));
        folded.add(&stack(3, &["inner", "outer"]));
        folded.add(&stack(1, &["outer"]));
        assert_eq!(folded.lines(), ["a:b;outer 1", "a:b;outer;inner 5"]);
    }

    #[test]
    fn a_flame_graph_has_every_function() {
        let mut folded = Folded::default();
        assert!(matches!(folded.draw("nothing"), Err(Error::NoStack)));
        folded.add(&stack(2, &["inner<T>", "outer"]));
        let drawn = String::from_utf8(folded.draw("a title").unwrap()).unwrap();
        for text in ["a title", "outer", "inner&lt;T&gt;", "</svg>"] {
            assert!(drawn.contains(text), "{text}");
        }
    }
}
