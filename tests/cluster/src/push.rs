//! Prometheus remote write, as far as pushing values of now and of earlier moments goes: protobuf in one snappy block of literals.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

/// A histogram with exponential buckets: schema 3 (eight buckets for each doubling), from bucket `first` on.
#[derive(Debug)]
pub struct Native {
    pub first: i64,
    pub counts: Vec<u64>,
}

/// What a series is worth at a moment.
#[derive(Debug)]
pub enum Worth {
    Number(f64),
    Native(Native),
    /// Numbers of earlier moments, in milliseconds, in their order.
    Run(Vec<(i64, f64)>),
}

/// A series' labels, `__name__` among them, in their order.
pub type Labels = Vec<(String, String)>;

/// Sends it, as of `now` where a moment is not given.
pub async fn send(
    http: &reqwest::Client,
    url: &str,
    series: &[(Labels, Worth)],
    now: jiff::Timestamp,
) -> anyhow::Result<()> {
    let request = http
        .post(url)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body(series, now.as_millisecond()));
    let answer = request.send().await?;
    let status = answer.status();
    anyhow::ensure!(status.is_success(), "{status}: {}", answer.text().await?);
    Ok(())
}

/// The body of a `POST /api/v1/write`; times in milliseconds.
fn body(series: &[(Labels, Worth)], at_millis: i64) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, worth) in series {
        let mut one = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            bytes(&mut label, 1, name.as_bytes());
            bytes(&mut label, 2, value.as_bytes());
            bytes(&mut one, 1, &label);
        }
        match worth {
            Worth::Number(value) => bytes(&mut one, 2, &sample(*value, at_millis)),
            Worth::Run(run) => run
                .iter()
                .for_each(|(at, value)| bytes(&mut one, 2, &sample(*value, *at))),
            Worth::Native(native) => bytes(&mut one, 4, &histogram(native, at_millis)),
        }
        bytes(&mut request, 1, &one);
    }
    snappy(&request)
}

fn sample(value: f64, at_millis: i64) -> Vec<u8> {
    let mut message = Vec::new();
    double(&mut message, 1, value);
    number(&mut message, 2, at_millis.unsigned_abs());
    message
}

fn histogram(native: &Native, at_millis: i64) -> Vec<u8> {
    let mut message = Vec::new();
    number(&mut message, 1, native.counts.iter().sum());
    double(&mut message, 3, 1.0);
    number(&mut message, 4, zigzag(3));
    double(&mut message, 5, 1e-128);
    let mut span = Vec::new();
    number(&mut span, 1, zigzag(native.first));
    number(&mut span, 2, u64::try_from(native.counts.len()).unwrap());
    bytes(&mut message, 11, &span);
    let mut deltas = Vec::new();
    let mut before = 0;
    for count in &native.counts {
        let count = i64::try_from(*count).unwrap();
        varint(&mut deltas, zigzag(count - before));
        before = count;
    }
    bytes(&mut message, 12, &deltas);
    number(&mut message, 15, at_millis.unsigned_abs());
    message
}

fn zigzag(n: i64) -> u64 {
    (n.unsigned_abs() << 1) - u64::from(n < 0)
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = u8::try_from(n & 0x7f).unwrap();
        n >>= 7;
        out.push(if n == 0 { low } else { low | 0x80 });
        if n == 0 {
            return;
        }
    }
}

fn number(out: &mut Vec<u8>, field: u64, n: u64) {
    varint(out, field << 3);
    varint(out, n);
}

fn double(out: &mut Vec<u8>, field: u64, n: f64) {
    varint(out, field << 3 | 1);
    out.extend(n.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, u64::try_from(content.len()).unwrap());
    out.extend(content);
}

fn snappy(content: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    varint(&mut block, u64::try_from(content.len()).unwrap());
    for literal in content.chunks(0x1_0000) {
        let length = u16::try_from(literal.len() - 1).unwrap();
        block.push(61 << 2);
        block.extend(length.to_le_bytes());
        block.extend(literal);
    }
    block
}
