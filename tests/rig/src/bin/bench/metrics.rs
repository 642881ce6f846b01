//! An operator's metrics, read.

/// The metrics as they were at one time.
pub struct Metrics(String);

/// A histogram, or what came to it in the meantime.
pub struct Histogram {
    sum: f64,
    count: f64,
    /// The end of each bucket, and how many were below it.
    buckets: Vec<(f64, f64)>,
}

impl Metrics {
    /// Takes OpenMetrics' text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum of a metric's series, of those whose labels hold `labels`.
    pub fn sum(&self, name: &str, labels: &str) -> f64 {
        let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series = self.0.lines().filter(of_metric).filter(|line| line.contains(labels));
        series.filter_map(value).sum()
    }

    /// A histogram without labels.
    pub fn histogram(&self, name: &str) -> Histogram {
        let bucket = format!("{name}_bucket{{le=\"");
        let buckets = self.0.lines().filter_map(|line| {
            let (end, _) = line.strip_prefix(&bucket)?.split_once('"')?;
            Some((end.parse().ok()?, value(line)?))
        });
        let part = |part: &str| self.sum(&format!("{name}_{part}"), "");
        Histogram { sum: part("sum"), count: part("count"), buckets: buckets.collect() }
    }
}

impl Histogram {
    /// What came after `before`.
    pub fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&before.buckets).map(|((end, now), (_, before))| (*end, now - before));
        Self { sum: self.sum - before.sum, count: self.count - before.count, buckets: buckets.collect() }
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    /// Below what such a part of the observations is: the end of a bucket.
    pub fn quantile(&self, part: f64) -> f64 {
        let enough = self.buckets.iter().filter(|(_, count)| *count >= self.count * part).map(|(end, _)| *end);
        enough.reduce(f64::min).unwrap_or_default()
    }
}

fn value(line: &str) -> Option<f64> {
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(sum: f64, [five, twelve, all]: [u32; 3]) -> Metrics {
        Metrics::new(format!(
            "took_sum {sum}\ntook_count {all}\ntook_bucket{{le=\"0.005\"}} {five}\ntook_bucket{{le=\"0.0125\"}} {twelve}\n\
             took_bucket{{le=\"+Inf\"}} {all}\n"
        ))
    }

    #[test]
    fn series_are_summed_by_name_and_labels() {
        let metrics =
            Metrics::new("calls_total{outcome=\"ok\"} 5\ncalls_total{outcome=\"gone\"} 1\ncalls 7\n".to_owned());
        assert_eq!((metrics.sum("calls_total", ""), metrics.sum("calls_total", "\"ok\"")), (6.0, 5.0));
        assert_eq!((metrics.sum("calls", ""), metrics.sum("call", "")), (7.0, 0.0));
    }

    #[test]
    fn a_histogram_tells_the_mean_and_the_end_of_the_bucket_of_a_quantile() {
        let all = took(1.5, [2, 3, 4]).histogram("took");
        assert_eq!([0.5, 0.75, 0.95].map(|part| all.quantile(part)), [0.005, 0.0125, f64::INFINITY]);
        let later = took(1.5, [2, 3, 4]).histogram("took").since(&took(1.48, [0, 1, 2]).histogram("took"));
        assert!((later.mean() - 0.01).abs() < 1e-9, "{}", later.mean());
        assert!((later.quantile(0.95) - 0.005).abs() < 1e-9, "{}", later.quantile(0.95));
    }
}
