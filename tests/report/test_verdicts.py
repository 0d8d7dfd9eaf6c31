from dau_lightning.report.section import sections
from dau_lightning.storage.audit_file import write_audit


def audited(folder, **verdicts):
    tests = {name: {"verdict": verdict, "figures": {}} for name, verdict in verdicts.items()}
    write_audit(folder, {"tests": tests, "summary": "", "weights": ""})


def test_verdicts_of_seeds_are_counted_for_each_audited_method(write, rows):
    audited(write(0), rmia="pass", tow="fail", klom="not enough data")
    audited(write(1), rmia="pass", tow="pass", klom="not enough data")
    audited(write(2), rmia="not enough data", tow="fail", klom="not enough data")
    for seed in range(3):
        write(seed, "finetune")
    (section,) = sections(rows())
    assert [note for note in section.notes if "audit" in note] == ["DAU, audit, pass-fail of 3 seeds: rmia 2-0, tow 1-2."]


def test_a_method_without_any_verdict_says_so_and_sparsities_are_named(write, rows):
    audited(write(), rmia="not enough data")
    write(sparsity="omp95")
    (section,) = sections(rows())
    assert "DAU, dense, audit, pass-fail of 1 seed: no test has enough data." in section.notes
