"""`rows --plan`: the list with minutes, whether they fit a slot, and what each needs."""
import entries


def plan(sources=entries.SOURCES):
    listed = entries.entries(sources)
    left, lines = {}, []
    head = f"{'row':26} {'epochs':>11} {'ms a step':>15} {'minutes':>7}  {'fits a slot':40} needs"
    for entry in listed:
        fits = entry.minutes <= entries.SLOT_MINUTES
        before = left.get(entry.after, entries.SLOT_MINUTES)
        left[entry.name] = before - entry.minutes
        if not fits:
            largest = (entries.SLOT_MINUTES - (entries.START_LOCAL if entry.local else entries.START_OTHER) / 60) * 60000
            said = f"no: wants {largest / entry.steps:.1f} ms a step"
        elif entry.after and entry.minutes <= before:
            said = f"yes, after {entry.after}"
        else:
            said = "yes"
        needs = ["MNIST, 11 MB" if entry.data == "mnist" else "CIFAR-10 in parcels, two calls"]
        if entry.local:
            needs.append(f"{2 * entry.vector_gb:.0f} GB of room, unless detached")
        if fits and entry.minutes * 60 > 540:
            needs.append("two commands on one machine")
        epochs = f"{entry.epochs}" if entry.epochs == entry.published_epochs else f"{entry.epochs} of {entry.published_epochs}"
        done = entries.epochs_done(entry, sources)
        if done:
            said = "has run" if done >= entry.epochs else f"has run {done} epochs; {said}"
        lines.append(f"{entry.name:26} {epochs:>11} {entry.ms:5.1f} {'measured' if entry.measured else 'estimated':9} {entry.minutes:7.1f}  {said:40} {'; '.join(needs)}")
    return "\n".join([head, *lines, f"A slot leaves {entries.SLOT_MINUTES} minutes for training. Milliseconds are those of benches/NOTES.md, \"Rows\"."])
