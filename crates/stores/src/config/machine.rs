//! Defaults that depend on the machine.

/// Host name and eight random hexadecimal digits: unique among workers, and different from the
/// name of an earlier worker on the same host.
pub(super) fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.')
        .take(64)
        .collect();
    let host = if host.is_empty() { "worker" } else { &host };
    format!("{host}-{:08x}", random())
}

fn random() -> u32 {
    // Without a random source, the process id still distinguishes the workers of one host.
    getrandom::u32().unwrap_or_else(|_| std::process::id())
}

/// Processors that this process may use, at least 1.
pub(super) fn processors() -> String {
    std::thread::available_parallelism().map_or(1, usize::from).min(1024).to_string()
}
