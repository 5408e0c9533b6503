"""What exercises that ask for a loss share: its value on given images, and whether training can learn from it.

For probes, within `undisturbed(rng)`: the gradient. For claims: the sentences for a wrong value or a missing gradient.
"""

import numpy as np

from course_utils.exercises.probing import agrees, array, described, likely, trouble


def gradient(loss, output, degraded, clean, kept):
    """The gradient of loss(output * kept, degraded, clean) at the output, an array; or a text, where there is none.

    Args:
        output, degraded, clean: tensors (N, C, H, W).
        kept: 0 or 1 for each value of the output; the gradient is 0 where it is 0.
    """
    output = output.clone().requires_grad_()
    value = loss(output * kept, degraded, clean)
    if not hasattr(value, "backward") or value.ndim > 0:
        return described(value)
    if not value.requires_grad:
        return f"{described(value)} without gradients"
    value.backward()
    return array(output.grad)


def gradient_problem(call, output):
    """The claim that "gradient" is one of the output, called so in the sentence, and 0 exactly where "kept" is."""

    def problem(evidence, expected):
        found, wanted = evidence.get("gradient"), expected["gradient"]
        if isinstance(found, str) and found.endswith((" float", " int", " without gradients")):
            way_out = "training needs a tensor that knows its gradient; keep item() and detach() out of it"
            return f"the loss {found}: {way_out}"
        strange = trouble(found, call, "a scalar tensor")
        if strange:
            return strange
        if found.shape == wanted.shape and np.isfinite(found).all():
            inside, outside = found[expected["kept"] == 1], found[expected["kept"] == 0]
            if (inside != 0).mean() > 0.5 and not outside.any():
                return None
        return f"the gradient of the loss is zero, NaN or of another shape than {output}: leave {output} unchanged"

    return problem


def loss_problem(call, name, what, causes, default, inputs="inputs", images=None):
    """The claim that the loss noted as `name` is the expected one.

    Args:
        call: what was called, for example "mse_loss".
        what: it was called with, in words.
        causes: a function from the inputs, an array (3, N, C, H, W), to [(value of a mistake, cause), ...].
        default: the cause where no mistake is recognised.
        inputs: the name of the expected evidence that holds them; `images`: only so many of the first.
    """

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted):
            return None
        strange = trouble(found, f"{call} of {what}", "one number")
        if strange:
            return strange
        cause = likely(found, causes(expected[inputs][:, :images]), default)
        return f"the loss of {what} is {found:.5g}, expected {wanted:.5g}: {cause}"

    return problem
