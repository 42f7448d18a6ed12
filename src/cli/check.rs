//! IO (files are read). `modosu check`: settings and guard files without a cluster, every mistake at once.

use std::path::Path;

use super::{CheckArguments, run::environment};
use crate::{
    config::{
        Flags, Mistake, Mistakes, Settings,
        load::{mistake, step},
        mistake::Place,
        source::File,
    },
    model::guard::Guard,
};

/// What was checked, in a sentence; or everything that is wrong.
pub fn check(arguments: &CheckArguments) -> anyhow::Result<String> {
    let mut mistakes = Vec::new();
    let settings = Settings::load(arguments.settings.config.as_deref(), environment(), &Flags::default());
    mistakes.extend(settings.err().into_iter().flat_map(|Mistakes(found)| found));
    let mut guards = 0;
    for path in &arguments.files {
        match documents(path) {
            Ok(files) => {
                for file in files
                    .iter()
                    .filter(|file| file.content.get("kind").is_some_and(|kind| kind == "Guard"))
                {
                    guards += 1;
                    mistakes.extend(guard(file).err().into_iter().flat_map(|Mistakes(found)| found));
                }
            }
            Err(Mistakes(found)) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        Ok(format!("settings and {guards} guards are fine\n"))
    } else {
        Err(Mistakes(mistakes).into())
    }
}

fn documents(path: &Path) -> Result<Vec<File>, Mistakes> {
    let whole = |line, wrong| {
        Mistakes::from(Mistake {
            place: Place::File {
                path: path.to_owned(),
                line,
            },
            path: String::new(),
            value: None,
            wrong,
            right: None,
        })
    };
    let text = std::fs::read_to_string(path).map_err(|why| whole(0, format!("the file cannot be read: {why}")))?;
    File::parse_all(path, &text).map_err(|(line, why)| whole(line, why))
}

fn guard(file: &File) -> Result<Guard, Mistakes> {
    serde_path_to_error::deserialize::<_, Guard>(&file.content).map_err(|failed| {
        let way: Vec<String> = failed.path().iter().filter_map(step).collect();
        let (place, value) = file.find(&way);
        mistake(&way, place, value, failed.inner().to_string(), None).into()
    })
}
