//! A real Prometheus that scrapes the exporters every second, takes what is pushed, and evaluates rules.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use modosu::{
    model::units::Length,
    observe::prometheus::{Prometheus, Settings},
};
use modosu_cluster::{
    Version,
    push::{self, Labels, Worth},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Child, time::sleep};

use crate::fixture::{Fixture, Traffic};

pub type Exporters = Arc<Mutex<BTreeMap<String, Fixture>>>;

/// A real Prometheus and its exporters.
pub struct Real {
    pub exporters: Exporters,
    folder: TempDir,
    listen: String,
    _process: Child,
}

impl Real {
    /// With these fixtures, and with alerting rules in the form of a rule file's groups.
    pub async fn start(version: Version, fixtures: &[&str], groups: Value) -> Self {
        let known = fixtures.iter().map(|name| ((*name).to_owned(), Fixture::read(name)));
        let exporters: Exporters = Arc::new(Mutex::new(known.collect()));
        let metrics = serve(exporters.clone()).await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let folder = TempDir::new().unwrap();
        let target = |(name, fixture): (&String, &Fixture)| {
            let mut labels = fixture.target.clone()?;
            labels.insert("__metrics_path__".into(), format!("/metrics/{name}"));
            Some(json!({"targets": [metrics], "labels": labels}))
        };
        let targets: Vec<_> = exporters.lock().unwrap().iter().filter_map(target).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "storage": {"tsdb": {"out_of_order_time_window": "2h"}},
            "rule_files": [folder.path().join("rules.yaml")],
            "scrape_configs": [{"job_name": "any", "static_configs": targets}],
        });
        let write = |name: &str, content: Value| std::fs::write(folder.path().join(name), content.to_string()).unwrap();
        write("prometheus.yaml", config);
        write("rules.yaml", json!({"groups": groups}));
        let listen = free.to_string();
        let process = launch(version, &folder, &listen);
        let real = Self {
            exporters,
            folder,
            listen,
            _process: process,
        };
        while real.prometheus().query("time()", None).await.is_err() {
            assert!(real.folder.path().exists());
            sleep(Duration::from_millis(100)).await;
        }
        real
    }

    pub fn prometheus(&self) -> Prometheus {
        Prometheus::http(&Settings {
            url: format!("http://{}", self.listen),
            timeout: Length::seconds(5),
            ..Settings::default()
        })
        .unwrap()
    }

    /// Pushes the values that pushing exporters have now.
    pub async fn push(&self) {
        let series = {
            let exporters = self.exporters.lock().unwrap();
            let pushing = exporters.values().filter(|fixture| fixture.target.is_none());
            pushing.flat_map(Fixture::series).collect::<Vec<_>>()
        };
        let series: Vec<_> = series
            .into_iter()
            .map(|(labels, value)| (labels, Worth::Number(value)))
            .collect();
        self.write(&series).await;
    }

    /// Remote write of these values, as of now.
    pub async fn write(&self, series: &[(Labels, Worth)]) {
        if series.is_empty() {
            return;
        }
        let url = format!("http://{}/api/v1/write", self.listen);
        push::send(&reqwest::Client::new(), &url, series, jiff::Timestamp::now())
            .await
            .unwrap();
    }

    /// One more round of this traffic at every exporter.
    pub fn round(&self, traffic: Traffic) {
        for fixture in self.exporters.lock().unwrap().values_mut() {
            fixture.rounds(traffic, 1.0);
        }
    }
}

async fn serve(exporters: Exporters) -> String {
    let page = move |Path(name): Path<String>| {
        let page = exporters
            .lock()
            .unwrap()
            .get(&name)
            .map(Fixture::page)
            .unwrap_or_default();
        async move { page }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics/{name}", get(page))).await });
    address
}

fn launch(version: Version, folder: &TempDir, listen: &str) -> Child {
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature",
        "native-histograms",
    ];
    modosu_cluster::bare_prometheus(version, folder.path(), listen, &flags).unwrap()
}
