//! Who has started this process, and as one of how many. From the environment alone: MPI is not opened to find out.

/// What a launcher says of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub by: Launcher,
    pub rank: usize,
    pub world: usize,
}

/// What starts processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    OpenMpi,
    Slurm,
    Hydra,
    /// It starts no MPI.
    Torchrun,
}

/// Variables that each launcher sets for its processes alone: rank, world.
const KNOWN: [(Launcher, &str, &str); 5] = [
    (Launcher::OpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    // Of the tasks of a step. SLURM_NTASKS would be there in the batch script too, which is one process.
    (Launcher::Slurm, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    (Launcher::Hydra, "PMI_RANK", "PMI_SIZE"),
    (Launcher::Hydra, "PMIX_RANK", "PMI_SIZE"),
    (Launcher::Torchrun, "RANK", "WORLD_SIZE"),
];

impl std::fmt::Display for Launcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenMpi => "mpirun",
            Self::Slurm => "srun",
            Self::Hydra => "mpiexec",
            Self::Torchrun => "torchrun",
        })
    }
}

/// The first launcher that has left its mark, where it has started more than one process.
pub fn found() -> Option<Launch> {
    found_in(|name| std::env::var(name).ok())
}

fn found_in(variable: impl Fn(&str) -> Option<String>) -> Option<Launch> {
    let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
    let launch = KNOWN.iter().find_map(|&(by, rank, world)| {
        let (rank, world) = (number(rank)?, number(world)?);
        Some(Launch { by, rank, world })
    });
    launch.filter(|launch| launch.world > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Launch> {
        found_in(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn a_process_is_one_of_several_where_a_launcher_says_so() {
        let open = [("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "4")];
        assert_eq!(of(&open), Some(Launch { by: Launcher::OpenMpi, rank: 2, world: 4 }));
        // Open MPI inside a step of SLURM.
        let inside = [open.as_slice(), &[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]].concat();
        assert_eq!(of(&inside).map(|l| l.by), Some(Launcher::OpenMpi));
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), None, "a batch script");
        assert_eq!(of(&[("SLURM_PROCID", "3"), ("SLURM_STEP_NUM_TASKS", "8")]).map(|l| l.world), Some(8));
        assert_eq!(of(&[("RANK", "1"), ("WORLD_SIZE", "2")]).map(|l| l.by), Some(Launcher::Torchrun));
        assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "1")]), None, "one alone");
        assert_eq!(of(&[("RANK", "x"), ("WORLD_SIZE", "2")]), None);
    }
}
