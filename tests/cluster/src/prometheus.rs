//! A real Prometheus that scrapes every second, finds its targets in files, and takes what is pushed, also of last week.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::control_plane::plain;
use crate::part::{Part, Ready, program};
use crate::port::free_port;
use crate::process::Program;
use crate::push::{self, Labels, Worth};
use crate::scratch::Scratch;
use crate::targets::{Target, Targets};

#[derive(Debug)]
pub struct Prometheus {
    part: Part,
    url: String,
    http: reqwest::Client,
    targets: Arc<Targets>,
}

/// One row of an instant query.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    pub at: f64,
}

impl Prometheus {
    pub(crate) async fn start(scratch: &Arc<Scratch>, targets: Arc<Targets>) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "storage": {"tsdb": {"out_of_order_time_window": "8d"}},
            "scrape_configs": [{
                "job_name": "pods",
                "file_sd_configs": [{"files": [targets.glob()], "refresh_interval": "1s"}],
            }],
        });
        let file = scratch.join("prometheus.yaml");
        std::fs::write(&file, config.to_string())?;
        let args = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", scratch.join("prometheus").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-lifecycle".into(),
            "--web.enable-remote-write-receiver".into(),
            "--log.level=warn".into(),
        ];
        let url = format!("http://127.0.0.1:{port}");
        let ready = Ready {
            url: format!("{url}/-/ready"),
            client: plain()?,
        };
        let part = Part::new(
            scratch,
            Program::new("prometheus", program("prometheus")?).args(args),
            ready,
        );
        part.start().await.context("Prometheus does not come up")?;
        Ok(Self {
            part,
            url,
            http: plain()?,
            targets,
        })
    }

    /// The same over stops and starts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stop, kill, start again (data and port stay), or send it signals.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Scrapes `address` too. `__scrape_interval__` and `__scrape_timeout__` among the labels set these for a slow target.
    pub fn add_target(&self, labels: &[(&str, &str)], address: &str) -> anyhow::Result<()> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.targets.set(
            format!("static {address}"),
            Some(Target {
                address: address.to_owned(),
                labels,
            }),
        )
    }

    pub fn remove_target(&self, address: &str) -> anyhow::Result<()> {
        self.targets.set(format!("static {address}"), None)
    }

    /// Remote write of these series: the numbers of now, or of earlier moments up to a week ago.
    pub async fn push(&self, series: &[(Labels, Worth)]) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/write", self.url);
        push::send(&self.http, &url, series, Timestamp::now()).await
    }

    /// An instant query now. Errors carry Prometheus' own words.
    pub async fn query(&self, promql: &str) -> anyhow::Result<Vec<Sample>> {
        let answer = self.query_raw(promql).await?;
        ensure!(answer["status"] == "success", "{promql}: {}", answer["error"]);
        let rows = answer
            .pointer("/data/result")
            .and_then(Value::as_array)
            .context("a vector")?;
        rows.iter()
            .map(|row| sample(row).with_context(|| format!("{promql}: {row}")))
            .collect()
    }

    /// The whole answer: with warnings and infos.
    pub async fn query_raw(&self, promql: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/query", self.url);
        let answer = self.http.post(url).form(&[("query", promql)]).send().await?;
        Ok(answer.json().await?)
    }
}

fn sample(row: &Value) -> Option<Sample> {
    let labels = row["metric"].as_object()?.iter();
    let labels = labels
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    Some(Sample {
        labels,
        at: row["value"][0].as_f64()?,
        value: row["value"][1].as_str()?.parse().ok()?,
    })
}
