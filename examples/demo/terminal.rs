//! Lines for a person: when, who, what. Colours only where a terminal shows them.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Plain,
    Good,
    Bad,
    /// Somebody should look.
    Care,
    /// Something is being done.
    Deed,
    Quiet,
}

/// Where the tale is told. Clones tell on the same clock.
#[derive(Clone, Debug)]
pub struct Terminal {
    began: Instant,
    colours: bool,
}

impl Terminal {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// One thing that happened: ` 0:14  modosu    …`. Further lines stand below the first.
    pub fn line(&self, who: &str, mood: Mood, what: &str) {
        let mut lines = what.lines();
        let at = clock(self.began.elapsed());
        let first = self.painted(mood, lines.next().unwrap_or_default());
        let at = self.painted(Mood::Quiet, &format!("{at:>6}"));
        self.plain(&format!("{at}  {who:<9} {first}"));
        for more in lines {
            self.plain(&format!("{:17} {}", "", self.painted(mood, more)));
        }
    }

    /// The beginning of a story.
    pub fn heading(&self, title: &str) {
        let title = format!("── {title} ");
        let rule = "─".repeat(100_usize.saturating_sub(title.chars().count()));
        self.plain(&format!("\n{}\n", self.painted(Mood::Deed, &(title + &rule))));
    }

    /// As it is. Nobody listening any more is no reason to end.
    pub fn plain(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    fn painted(&self, mood: Mood, text: &str) -> String {
        let code = match mood {
            Mood::Plain => return text.to_owned(),
            Mood::Good => 32,
            Mood::Bad => 31,
            Mood::Care => 33,
            Mood::Deed => 36,
            Mood::Quiet => 90,
        };
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Minutes and seconds since the beginning.
fn clock(since: Duration) -> String {
    let seconds = since.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
