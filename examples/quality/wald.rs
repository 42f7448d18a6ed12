//! The evidence meter by itself, against Wald's bound: no test that is wrong with probability α at most gets by with fewer
//! requests, on average, than ln(1/α) / KL(p₁ ‖ p*).

use modosu::judge::meter::Meter;

use super::chance::Chance;

const ALPHA: f64 = 1e-4;
const POLL: f64 = 15.0;
/// The tolerated share p*, and how many times that the share really is.
const TOLERATED: [f64; 7] = [0.001, 0.002, 0.004, 0.006, 0.008, 0.010, 0.012];
const TIMES: [f64; 9] = [1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0];
const PER_SECOND: [f64; 5] = [0.5, 5.0, 20.0, 100.0, 1000.0];
const PHI: [f64; 3] = [1.0, 3.0, 10.0];
/// Nobody waits longer.
const MOST_POLLS: u32 = 50_000;

/// One cell of the first grid.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub tolerated: f64,
    pub times: f64,
}

/// One cell of the second grid.
#[derive(Clone, Copy, Debug)]
pub struct Polled {
    pub tolerated: f64,
    pub times: f64,
    pub per_second: f64,
    pub phi: f64,
}

/// Requests over Wald's bound.
pub fn requests() -> Vec<Request> {
    let times = |tolerated| TIMES.map(|times| Request { tolerated, times });
    TOLERATED.into_iter().flat_map(times).collect()
}

/// Delays at polls of 15 s.
pub fn polled() -> Vec<Polled> {
    let mut cells = Vec::new();
    for tolerated in [0.001, 0.004, 0.012] {
        for times in [1.5, 3.0, 7.0, 30.0] {
            for per_second in PER_SECOND {
                for phi in PHI {
                    cells.push(Polled {
                        tolerated,
                        times,
                        per_second,
                        phi,
                    });
                }
            }
        }
    }
    cells
}

fn wald(share: f64, tolerated: f64) -> f64 {
    let (good, usual) = (1.0 - share, 1.0 - tolerated);
    -ALPHA.ln() / (share * (share / tolerated).ln() + good * (good / usual).ln())
}

impl Request {
    /// The mean number of requests that it took, over Wald's bound. The good requests between two bad ones cannot trip
    /// the meter, so they are counted at once.
    pub fn ratio(self, runs: u32, seed: u64) -> f64 {
        let share = self.tolerated * self.times;
        let mut chance = Chance::new(seed);
        let mut all = 0.0;
        for _ in 0..runs {
            let mut meter = Meter::of(self.tolerated, 0.0, ALPHA).uncapped();
            while !meter.tripped() {
                let good = (chance.unit().ln() / (-share).ln_1p()).floor();
                meter.add(0.0, good);
                meter.add(1.0, 1.0);
            }
            all += meter.read().all;
        }
        all / f64::from(runs) / wald(share, self.tolerated)
    }
}

impl Polled {
    /// Every run's delay over max(3 polls, 1.5 φ × Wald), sorted.
    pub fn delays(self, runs: u32, seed: u64) -> Vec<f64> {
        let share = self.tolerated * self.times;
        let per_poll = self.per_second * POLL;
        let step = (self.per_second * 60.0).max(20.0);
        let rho = ((self.phi - 1.0) / (step - 1.0)).min(0.5);
        let bound = (1.5 * self.phi * wald(share, self.tolerated) / per_poll).max(3.0);
        let mut chance = Chance::new(seed);
        let mut delays: Vec<f64> = (0..runs)
            .map(|_| {
                let mut meter = Meter::of(self.tolerated, rho, ALPHA);
                let mut polls = 0;
                while !meter.tripped() && polls < MOST_POLLS {
                    let all = chance.poisson(per_poll);
                    let now = chance.beta(share, rho);
                    meter.add(chance.binomial(all, now), all);
                    polls += 1;
                }
                f64::from(polls) / bound
            })
            .collect();
        delays.sort_by(f64::total_cmp);
        delays
    }
}
