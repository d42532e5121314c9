//! Bad weather: links that lose frames and hold them back. This kernel has no netem, so each link is a pair of TAP
//! devices and a thread that copies between them.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Write},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::tap;

/// Longest Ethernet frame that an interface with the usual MTU of 1500 sends, with room for tags.
const FRAME: usize = 2048;
/// Most frames that a link holds back; more are lost, as in any queue.
const HELD: usize = 4096;

/// How bad the way between any two machines is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// The share of frames that are lost, 0 to 1.
    pub loss: f64,
    /// How long a frame is on its way.
    pub delay: Duration,
    /// Decides which frames are lost.
    pub seed: u64,
}

impl Weather {
    /// The weather on the link of one machine: the way to another one leads over two links.
    pub(super) fn of_link(self, place: usize) -> Self {
        Self {
            loss: 1.0 - (1.0 - self.loss).sqrt(),
            delay: self.delay / 2,
            seed: self.seed.wrapping_add(place as u64),
        }
    }
}

/// A link between two interfaces; ends with its value.
#[derive(Debug)]
pub(super) struct Link {
    /// Closed to end the thread.
    stop: Option<PipeWriter>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Link {
    /// Makes both interfaces, each (namespace, name), and begins to copy.
    pub(super) fn open(one: (&str, &str), other: (&str, &str), weather: Weather) -> Self {
        let ends = [one, other].map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let (stopped, stop) = io::pipe().expect("a pipe");
        let (ready, is_ready) = sync_channel(1);
        let thread = thread::spawn(move || {
            // A thread of its own, because it moves from namespace to namespace.
            let opened = ends
                .iter()
                .map(|(namespace, name)| tap::open(namespace, name))
                .collect::<io::Result<Vec<_>>>();
            match opened {
                Ok(taps) => {
                    let _ = ready.send(Ok(()));
                    carry(&taps, &stopped, weather);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        let link = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        is_ready
            .recv()
            .expect("the thread of a link says how it began")
            .expect("a pair of TAP devices");
        link
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if ended.is_err() && !thread::panicking() {
                panic!("the thread of a link panicked");
            }
        }
    }
}

/// A frame that is on its way to the interface at `to`.
struct Held {
    due: Instant,
    to: usize,
    frame: Vec<u8>,
}

/// Copies until the other end of `stopped` is closed.
fn carry(taps: &[File], stopped: &PipeReader, weather: Weather) {
    let mut random = StdRng::seed_from_u64(weather.seed);
    // All frames are held for the same time, so the queue is in the order of their deadlines.
    let mut held: VecDeque<Held> = VecDeque::new();
    let mut buffer = [0; FRAME];
    loop {
        while held.front().is_some_and(|first| first.due <= Instant::now()) {
            if let Some(Held { to, frame, .. }) = held.pop_front() {
                // An interface that is down takes nothing, and its frames are lost.
                let _ = (&taps[to]).write(&frame);
            }
        }
        let wait = held.front().map(|first| {
            let left = first.due.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut watched: Vec<_> = taps.iter().map(|tap| PollFd::new(tap, PollFlags::IN)).collect();
        watched.push(PollFd::new(stopped, PollFlags::IN));
        match poll(&mut watched, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("a link cannot wait for frames: {error}"),
        }
        if watched.last().is_some_and(|end| !end.revents().is_empty()) {
            return;
        }
        for (from, tap) in taps.iter().enumerate() {
            while let Ok(length) = (&*tap).read(&mut buffer) {
                if random.random_bool(weather.loss) || held.len() >= HELD {
                    continue;
                }
                held.push_back(Held {
                    due: Instant::now() + weather.delay,
                    to: 1 - from,
                    frame: buffer[..length].to_vec(),
                });
            }
        }
    }
}
