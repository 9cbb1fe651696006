//! How a number on the command line is read, and what is said where it is none.

pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("give a number above 0, 1 at the most".into()),
    }
}

pub fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.001..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes, such as 10".into()),
    }
}

pub fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1 thread must compute".into()),
        Ok(n) if n > 4096 => Err("at most 4096 threads can be asked for".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("give a whole number, 1 or more".into()),
    }
}
