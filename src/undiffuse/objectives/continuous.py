"""The bound of a chain of infinitely many steps between its first latent time t_1 and 1 (Kingma et al. 2021).

    L = prior + E_t 1/2 (-d logsnr/dt) SNR_t |x_0 - x_0-hat|^2 (1 - t_1) + decode,    t uniform on [t_1, 1]

(VDM, eqs. 11, 17). Between its ends it does not depend on the schedule, but the spread of its estimate does:
a `Learned` schedule is trained at its ends by L and between them, with the ends held, to lower the variance:
by the gradient of the square of each example's middle term in bits per dimension (VDM, section 4.2, appendix
I). That is a sum over examples, so that parts of a batch add up to the gradient of the whole.
"""

import math

from torch import Tensor

from undiffuse import terms
from undiffuse.devices import sent
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives.base import Objective
from undiffuse.objectives.times import Noise, Stratified, Times
from undiffuse.parameterizations import Numbers
from undiffuse.schedules import Between, Learned, LogLinear
from undiffuse.tensors import total


class Continuous(Objective):
    """The bound of infinitely many steps; `grid` gives its first latent time.

    Raises ValueError without a grid of at least two times; and, when called, unless the kernel is Gaussian
    with a schedule that is learned or log-linear, and its variance the posterior one.
    """

    unit = "bits/dim"

    def __init__(self, times: Times | None = None, grid: Tensor | None = None) -> None:
        if grid is None or len(grid) < 2:
            raise ValueError(
                "the continuous objective needs a grid of at least two steps, for its first latent time"
            )
        self.times, self.first = times or Stratified(), grid[0]

    def __call__(self, model: Denoiser, x_0: Tensor, generator: Noise) -> Tensor:
        """(B,) estimates of the bound, in bits per dimension."""
        given, bits = _schedule(model), 1 / (x_0[0].numel() * math.log(2))
        schedule = given.between(self.first) if isinstance(given, Learned) else given
        if schedule is not given:
            model = model.under(type(model.kernel)(schedule))
        u = self.times.draw(len(x_0), generator)
        t = self.first + (1 - self.first) * u
        middle = self.times.balance(u, self._middle(model, schedule, x_0, t, generator))
        if isinstance(schedule, Between):
            schedule.row_scale = (2 * bits * middle).detach()
        x_1 = terms.noisy(model, x_0, self.first, generator)
        ends = terms.prior(model, x_0) + terms.decode(model, x_0, x_1, self.first)
        return (middle + ends) * bits

    def _middle(
        self,
        model: Denoiser,
        schedule: Between | LogLinear,
        x_0: Tensor,
        t: Tensor,
        generator: Noise,
    ) -> Tensor:
        """All the steps, in nats: (B,)."""
        kernel, said = model.kernel, model.parameterization
        assert isinstance(kernel, Gaussian) and isinstance(said, Numbers)
        x_t = terms.noisy(model, x_0, t, generator)
        error = model.output(x_t, t)[0] - said.target(x_0, x_t, t, kernel)
        weight = -0.5 * schedule.slope(t) * schedule.logsnr(t).exp() * (1 - self.first)
        return sent(weight, error.device) * total((said.gain(x_t, t, kernel) * error).square())


def _schedule(model: Denoiser) -> Learned | LogLinear:
    """The model's schedule, if this objective is for it."""
    schedule = model.kernel.schedule
    if (
        not isinstance(schedule, Learned | LogLinear)
        or not isinstance(model.kernel, Gaussian)
        or model.variance.learned
    ):
        raise ValueError(
            "the continuous objective is for Gaussian kernels with schedule.kind=learned or log-linear and "
            "variance=posterior"
        )
    return schedule
