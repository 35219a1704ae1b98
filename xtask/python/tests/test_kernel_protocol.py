"""The course's kernel in the public suite for Jupyter kernels, as it is installed for Jupyter."""

import jupyter_kernel_test
import pytest
from jupyter_client.manager import start_new_kernel

from kernels import cells
from kernels.clone import CLONE
from kernels.session import LIMIT

SHOWS = 'display(&plot::bars("Naps", "s", &[("one".to_string(), 1.0)])?);'
CLEARS = r"""print!("\x1b_course {}\x1b\\", r#"{"do":"clear","wait":false}"#);"""


# How long the suite waits for a reply. Only what hangs takes so long.
jupyter_kernel_test.TIMEOUT = LIMIT


class Conformance(jupyter_kernel_test.KernelTests):
    """The suite waits for seconds only, so what takes longest is done before it begins."""

    kernel_name = "rust"
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("careful");'
    completion_samples = [
        {"text": "unmistakable_n", "matches": {"unmistakable_name"}},
        {"text": "let pool = Poo"},
        {"text": ""},
    ]
    complete_code_samples = ["1 + 1", "let x = 1;", "fn f() {\n}", ':dep serde = "1"']
    incomplete_code_samples = ["fn f() {", 'println!("a', "let x = (1,", "/* a"]
    invalid_code_samples = ["let x = ];", "}", "fn f( } {"]
    code_generate_error = 'panic!("as it should")'
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": '["a"; 2]', "result": '["a", "a"]'},
    ]
    code_display_data = [{"code": SHOWS, "mime": "text/html"}]
    code_clear_output = CLEARS
    code_inspect_sample = "unmistakable_name"
    # A pattern as for files: `*` and `?` stand for what they stand for there.
    code_history_pattern = "6 * 7"
    supported_history_operations = ("tail", "range", "search")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls) -> None:
        cls.km, cls.kc = start_new_kernel(
            kernel_name=cls.kernel_name, startup_timeout=LIMIT, cwd=str(CLONE / "notebooks")
        )
        for code in [cells.LOAD, "let unmistakable_name = 1;", SHOWS]:
            cls.kc.execute_interactive(code, timeout=LIMIT, output_hook=lambda _: None)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.kc.stop_channels()
        cls.km.shutdown_kernel(now=True)
