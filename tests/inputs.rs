//! What people hand in that is not as it should be: broken inputs and data sets, text of Windows, scripts and packs of somebody who means
//! ill. The program answers with a message, in processes of its own.

mod common;

#[path = "inputs/broken_data.rs"]
mod broken_data;

#[path = "inputs/broken_inputs.rs"]
mod broken_inputs;

#[path = "inputs/habits.rs"]
mod habits;

#[path = "inputs/hostile.rs"]
mod hostile;

#[path = "inputs/windows_text.rs"]
mod windows_text;
