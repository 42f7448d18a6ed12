//! A real Prometheus, and exporters that are told what to count, how slow to be and when to fail.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use modosu::{
    model::units::Length,
    observe::prometheus::{Prometheus, Settings},
};
use modosu_cluster::Version;
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Child, time::sleep};

/// One exporter: what it counts, how long it takes to say so, and whether it can.
#[derive(Clone, Debug, Default)]
pub struct Exporter {
    pub job: &'static str,
    pub counters: BTreeMap<&'static str, u64>,
    pub delay_ms: u64,
    pub broken: bool,
    pub extra: &'static str,
}

impl Exporter {
    fn page(&self) -> String {
        let mut page = "# TYPE requests_total counter\n".to_owned();
        for (code, value) in &self.counters {
            writeln!(page, "requests_total{{code=\"{code}\"}} {value}").unwrap();
        }
        page + self.extra
    }
}

/// A real Prometheus and the exporters that it scrapes every two seconds.
pub struct Real {
    version: Version,
    exporters: Arc<Mutex<BTreeMap<String, Exporter>>>,
    folder: TempDir,
    listen: String,
    metrics: String,
    process: Option<Child>,
}

impl Real {
    pub async fn start(version: Version) -> Self {
        let exporters: Arc<Mutex<BTreeMap<String, Exporter>>> = Arc::default();
        let metrics = serve(exporters.clone()).await;
        Self::scraping(version, exporters, metrics, "one").await
    }

    /// Another one of the same kind, as in a pair for high availability: the same exporters, scraped at other moments.
    pub async fn replica(&self) -> Self {
        Self::scraping(self.version, self.exporters.clone(), self.metrics.clone(), "other").await
    }

    async fn scraping(
        version: Version,
        exporters: Arc<Mutex<BTreeMap<String, Exporter>>>,
        metrics: String,
        replica: &str,
    ) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut real = Self {
            version,
            exporters,
            folder: TempDir::new().unwrap(),
            listen: free.to_string(),
            metrics,
            process: None,
        };
        // When each target is scraped follows from its labels and from these.
        let config = json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "external_labels": {"replica": replica}},
            "scrape_configs": [{"job_name": "any", "file_sd_configs": [
                {"files": [real.folder.path().join("targets.json")], "refresh_interval": "1s"}]}],
        });
        std::fs::write(real.folder.path().join("prometheus.yaml"), config.to_string()).unwrap();
        real.targets();
        real.launch().await;
        real
    }

    pub async fn launch(&mut self) {
        let child = modosu_cluster::bare_prometheus(self.version, self.folder.path(), &self.listen, &[]).unwrap();
        self.process = Some(child);
        while self.prometheus().query("time()", None).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends Prometheus as a power cut does; its data stays.
    pub async fn cut(&mut self) {
        self.process.as_mut().unwrap().kill().await.unwrap();
    }

    /// Takes its data away, too.
    pub fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub fn prometheus(&self) -> Prometheus {
        prometheus(self.url())
    }

    pub fn set(&self, name: &str, change: impl FnOnce(&mut Exporter)) {
        change(self.exporters.lock().unwrap().entry(name.to_owned()).or_default());
    }

    /// Tells Prometheus of no exporter at all.
    pub fn untargeted(&self) {
        std::fs::write(self.folder.path().join("targets.json"), "[]").unwrap();
    }

    /// Tells Prometheus of all exporters.
    pub fn targets(&self) {
        let group = |(name, exporter): (&String, &Exporter)| {
            let labels = json!({"instance": name, "job": exporter.job, "namespace": "shop", "__metrics_path__": format!("/metrics/{name}")});
            json!({"targets": [self.metrics], "labels": labels})
        };
        let groups: Vec<_> = self.exporters.lock().unwrap().iter().map(group).collect();
        let file = self.folder.path().join("targets.json");
        let draft = self.folder.path().join("targets.draft");
        std::fs::write(&draft, serde_json::to_vec(&groups).unwrap()).unwrap();
        std::fs::rename(draft, file).unwrap();
    }
}

/// The client of the Prometheus there.
pub fn prometheus(url: String) -> Prometheus {
    Prometheus::http(&Settings {
        url,
        timeout: Length::seconds(5),
        ..Settings::default()
    })
    .unwrap()
}

/// Serves the exporters' pages; gives the address.
async fn serve(exporters: Arc<Mutex<BTreeMap<String, Exporter>>>) -> String {
    let page = move |Path(name): Path<String>| {
        let exporter = exporters.lock().unwrap().get(&name).cloned().unwrap_or_default();
        async move {
            sleep(Duration::from_millis(exporter.delay_ms)).await;
            let status = if exporter.broken {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            (status, exporter.page())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics/{name}", get(page))).await });
    address
}
