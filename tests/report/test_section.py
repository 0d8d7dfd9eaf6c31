import pytest

from dau_lightning.evaluation.checks import row_warnings
from dau_lightning.report.section import NO_TIES, NOISE, sections


def test_the_disparity_of_means_is_left_out_where_it_is_the_disparity(write, rows):
    write()
    (section,) = sections(rows())
    assert list(section.tables["disparity"]) == [("disparity", "")]


def test_runs_judged_by_the_selection_score_have_a_section_of_their_own(write, rows):
    for seed in range(2):
        write(seed)
        write(seed, selection=True)
    evaluated, selected = sections(rows())
    assert evaluated.title == "digits, convnet, random, dense; seeds 0, 1"
    assert selected.title == "digits, convnet, random, dense; selection score"
    assert selected.tables["score"]["score", ""].to_dict() == {"Original (n=2)": "1.50±0.00", "DAU (n=2)": "1.50±0.00"}
    assert "disparity" not in selected.tables


def test_without_a_retrain_there_is_the_score_in_place_of_the_disparity(write, rows):
    score = {"score": 1.5, "judge_error": 2.0, "judge_MIA": 3.0}
    for seed in range(2):
        write(seed, reference=False, rows={"original": score, "dau": score})
    (section,) = sections(rows())
    assert section.tables["score"]["score", ""]["DAU"] == "1.50±0.00"
    assert "disparity" not in section.tables


def test_a_method_that_one_sparsity_lacks_has_dashes_there(write, rows):
    write()
    write(name="finetune", sparsity="omp95")
    (section,) = sections(rows())
    table = section.tables["accuracy"]["UA"]
    assert list(table) == ["dense", "95% sparse"]
    assert table.loc["FT"].tolist() == ["-", "3.50"]
    assert table.loc["DAU"].tolist() == ["3.00", "-"]
    assert list(table.index) == ["Retrain", "Original", "FT", "DAU"]


def test_notes_explain_the_columns_that_are_there(write, rows):
    write(name="retrain_again", rows={"retrain_again": {"TA_forgotten": 1.0}})
    notes = " ".join(sections(rows())[0].notes)
    assert "disparity: mean of the distances" in notes
    assert "TA_forgotten: " in notes
    assert "Retrain 2 shows the noise" in notes
    assert "zeros" not in notes


def test_warnings_of_dense_and_sparse_rows_name_the_sparsity(write, rows):
    for sparsity in ("dense", "omp95"):
        write(sparsity=sparsity, rows={"dau": {"flags": ["look"]}})
    (section,) = sections(rows())
    assert section.warnings == ["DAU, dense, seed 0; DAU, 95% sparse, seed 0: look."]


def test_warnings_that_differ_in_numbers_alone_are_one_line_with_the_number_of_seeds(write, rows):
    over = "over-forgetting: AUC {} is {} points below Retrain's"
    flags = [over.format(9.5, 40.5), "RA is more than 5 points below"], [over.format("41.0", 8.1)], []
    for seed in range(3):
        few = [f"only {seed + 3} images", *(["no Retrain"] if seed == 2 else [])]
        write(seed, rows={"dau": {"flags": flags[seed]}}, warnings=few)
        write(seed, "finetune", warnings=few, rows={"finetune": {"flags": ["nothing forgotten"] * (seed == 1)}})
    expected = [
        "3 of 3 seeds (0, 1, 2): only 3-5 images.",
        "1 of 3 seeds (2): no Retrain.",
        "DAU, 2 of 3 seeds (0, 1): over-forgetting: AUC 9.5-41.0 is 8.1-40.5 points below Retrain's.",
        "DAU, 1 of 3 seeds (0): RA is more than 5 points below.",
        "FT, 1 of 3 seeds (1): nothing forgotten.",
    ]
    (section,) = sections(rows())
    assert section.warnings == expected


def test_percentages_and_attacks_of_few_images_have_their_counts(write, rows):
    enough = {"forget": 100, "retain": 900, "test_retain": 100, "test_forget": 0, "judge": 0, "judge_nonmembers": 0}
    write(0, counts=enough)
    write(1, counts=enough)
    assert not [note for note in sections(rows())[0].notes if "Few" in note]
    write(0, scheme="classwise", counts={**enough, "forget": 99, "test_retain": 90, "test_forget": 7})
    write(
        1,
        scheme="classwise",
        counts={**enough, "forget": 8, "test_retain": 90, "test_forget": 7},
        rows={"dau": {"TA_forgotten": 1.0}},
    )
    write(0, selection=True, counts={**enough, "judge": 10, "judge_nonmembers": 99})
    few = [[note for note in section.notes if "Few" in note] for section in sections(rows())]
    assert few == [
        ["Few images: UA and MIA of 8-99, TA of 90, TA_forgotten of 7, attacks fitted on 180."],
        [],
        ["Few images: judge_MIA of 10, attacks fitted on 198."],
    ]


@pytest.mark.parametrize(
    ("kind", "draws", "note"),
    [
        ("retrain_again", {"range": [2.0, 7.1], "voided": 0}, NO_TIES),
        ("retrain_again", {"range": [2.0, 2.0], "voided": 5}, NO_TIES),
        ("retrain_again", {"range": [2.0, 7.0], "voided": 4}, NOISE),
        ("original", {"range": [2.0, 7.1], "voided": 5}, NOISE),  # whose row says nothing about noise
    ],
)
def test_no_tie_is_called_from_an_unstable_noise_row(write, rows, kind, draws, note):
    row = {"UA": 1.0, "MIA": 2.0, "RA": 100.0, "MIA_draws": draws | {"draws": 9}}
    flags = row_warnings({"original": {"UA": 0.0, "MIA": 0.0, "RA": 100.0}, kind: row}, 0)[kind]
    write(0, "retrain_again")
    write(1, "retrain_again", rows={kind: {"flags": flags}})
    (section,) = sections(rows())
    assert [each for each in section.notes if "Retrain 2" in each] == [note]


@pytest.mark.parametrize(("noise", "marked"), [(2.0, ["DAU", "FT"]), (0.5, []), (90.0, ["DAU", "FT", "Zebra"])])
def test_methods_within_the_noise_of_the_best_are_marked_as_ties(write, rows, noise, marked):
    for name, error in (("dau", 20.0), ("finetune", 22.0), ("zebra", 60.0), ("retrain_again", None)):
        write(0, name, rows={name: {"UA": error} if error else {}})
    found = rows()
    found.loc[found.kind == "retrain_again", "disparity"] = noise
    (section,) = sections(found)
    cells = section.tables["disparity"]["disparity", ""]
    assert [method for method, text in cells.items() if text.endswith("≈")] == marked
    assert cells["DAU"].startswith(f"{found.disparity[found.kind == 'dau'].item():.2f}")


def test_equal_warnings_of_several_methods_are_one_line(write, rows):
    for seed in range(2):
        write(seed, rows={"dau": {"flags": ["damaged"]}})
        write(seed, "finetune", rows={"finetune": {"flags": ["damaged"] * seed}})
    (section,) = sections(rows())
    assert section.warnings == ["DAU, 2 of 2 seeds (0, 1); FT, 1 of 2 seeds (1): damaged."]


def test_a_row_that_lacks_a_seed_is_no_tie(write, rows):
    for seed in range(2):
        for name in ("retrain_again", "dau", "finetune"):
            write(seed, name)
    write(0, "fisher")
    (section,) = sections(rows())
    marked = {method: text.endswith("≈") for method, text in section.tables["disparity"]["disparity", ""].items()}
    assert marked == {"Retrain": False, "Retrain 2": False, "Original": False, "DAU": True, "FT": True, "FF": False}


def test_other_machines_and_versions_are_named(write, rows):
    about = {"device": "cpu", "name": "x", "threads": 2, "capability": "AVX2"}
    write(0)
    write(1, hardware=about, versions={"torch": "2.15"})
    (section,) = sections(rows())
    assert section.notes[-2:] == [
        "Machines: x, 1 threads; x, AVX2, 2 threads. Each has its own digits, and seconds compare within one.",
        "Versions of torch: 2.11; 2.15. Each has its own digits, and seconds compare within one.",
    ]
