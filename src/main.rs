fn main() {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(modosu::cli::crds::stream().unwrap_or_default().as_bytes());
}
