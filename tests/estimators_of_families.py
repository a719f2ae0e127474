"""Variants of the common families: neighbours, support vectors, trees, linear models, Gaussian processes and others.

Part of `every_estimator`. Never fits when it is imported.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array, csr_array, csr_matrix
from sklearn import (
    cluster,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    gaussian_process,
    impute,
    kernel_approximation,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    svm,
    tree,
)
from sklearn.gaussian_process import kernels

from tests import estimator_data as d
from tests.estimator_data import Builder, on, on_numbers

_logistic = linear_model.LogisticRegression

_neighbours: dict[str, Builder] = {
    **{
        f"KNeighborsClassifier-{algorithm}": on_numbers(neighbors.KNeighborsClassifier(3, algorithm=algorithm, leaf_size=5), d.words)
        for algorithm in ("kd_tree", "ball_tree", "brute")
    },
    **{
        f"KNeighborsRegressor-{metric}": on_numbers(
            neighbors.KNeighborsRegressor(3, algorithm="ball_tree", metric=metric, metric_params=more, weights="distance", leaf_size=5),
            d.real,
        )
        for metric, more in {
            "manhattan": None,
            "chebyshev": None,
            "minkowski": {"p": 3},
            "canberra": None,
            "braycurtis": None,
            "seuclidean": {"V": np.ones(4)},
        }.items()
    },
    "KNeighborsClassifier-mahalanobis": on_numbers(
        neighbors.KNeighborsClassifier(3, algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(4)}), d.two
    ),
    "KNeighborsClassifier-sparse": on(neighbors.KNeighborsClassifier(3), csr_matrix(d.x), csr_matrix(d.x_rows), d.three),
    "KNeighborsClassifier-float32": on(
        neighbors.KNeighborsClassifier(3, algorithm="kd_tree"), d.x.astype(np.float32), d.x_rows.astype(np.float32), d.three
    ),
    "KNeighborsClassifier-cosine": on_numbers(neighbors.KNeighborsClassifier(3, metric="cosine"), d.three),
    "KNeighborsClassifier-columns": on_numbers(neighbors.KNeighborsClassifier(3, algorithm="kd_tree"), d.two_labels),
    "KNeighborsClassifier-word-columns": on_numbers(neighbors.KNeighborsClassifier(3), d.two_words),
    "KNeighborsRegressor-haversine": on(
        neighbors.KNeighborsRegressor(3, algorithm="ball_tree", metric="haversine"), d.x[:, :2], d.x_rows[:, :2], d.real
    ),
    "RadiusNeighborsClassifier-outliers": on_numbers(
        neighbors.RadiusNeighborsClassifier(0.9, outlier_label=1, algorithm="ball_tree"), d.two
    ),
    "LocalOutlierFactor-novelty": on_numbers(neighbors.LocalOutlierFactor(5, novelty=True)),
    "KernelDensity-tophat": on_numbers(neighbors.KernelDensity(kernel="tophat", bandwidth=2.0, algorithm="ball_tree")),
    "KernelDensity-silverman": on_numbers(neighbors.KernelDensity(bandwidth="silverman", algorithm="kd_tree")),
    "NearestCentroid-shrunk": on_numbers(neighbors.NearestCentroid(shrink_threshold=0.1), d.words),
    "NeighborhoodComponentsAnalysis": on_numbers(neighbors.NeighborhoodComponentsAnalysis(2, max_iter=4, random_state=0), d.three),
    "KNNImputer-distance": on(impute.KNNImputer(n_neighbors=3, weights="distance"), d.holes, d.holes_rows),
}

_vectors: dict[str, Builder] = {
    **{f"SVC-{kernel}": on_numbers(svm.SVC(kernel=kernel), d.words) for kernel in ("linear", "poly", "rbf", "sigmoid")},
    "SVC-sparse": on(svm.SVC(), csr_matrix(d.x), csr_matrix(d.x_rows), d.three),
    "SVC-sparse-array": on(svm.SVC(kernel="linear"), csr_array(d.x), csr_array(d.x_rows), d.three),
    "SVC-one-against-one": on_numbers(svm.SVC(decision_function_shape="ovo", class_weight="balanced"), d.three),
    "SVC-class-weights": on_numbers(svm.SVC(class_weight={0: 1.0, 1: 2.0}), d.two),
    "SVC-precomputed": on(svm.SVC(kernel="precomputed"), d.x @ d.x.T, d.x_rows @ d.x.T, d.two),
    "OneClassSVM-poly": on_numbers(svm.OneClassSVM(kernel="poly", nu=0.2)),
    "LinearSVC-three": on_numbers(svm.LinearSVC(random_state=0), d.words),
}

_trees: dict[str, Builder] = {
    "DecisionTreeClassifier-words": on_numbers(tree.DecisionTreeClassifier(max_depth=3, random_state=0), d.words),
    "DecisionTreeClassifier-columns": on_numbers(tree.DecisionTreeClassifier(random_state=0), d.two_words),
    "DecisionTreeClassifier-missing": on(tree.DecisionTreeClassifier(random_state=0), d.holes, d.holes_rows, d.three),
    "DecisionTreeRegressor-monotonic": on_numbers(tree.DecisionTreeRegressor(monotonic_cst=[1, -1, 0, 0], random_state=0), d.real),
    "DecisionTreeRegressor-absolute": on_numbers(
        tree.DecisionTreeRegressor(criterion="absolute_error", max_leaf_nodes=5, random_state=0), d.real
    ),
    "RandomForestClassifier-columns": on_numbers(ensemble.RandomForestClassifier(3, random_state=0), d.two_labels),
    "RandomForestClassifier-words": on_numbers(
        ensemble.RandomForestClassifier(3, class_weight="balanced", oob_score=False, random_state=0), d.words
    ),
    "RandomForestClassifier-scored-outside": on_numbers(
        ensemble.RandomForestClassifier(12, oob_score=True, n_jobs=1, random_state=0), d.two
    ),
    "RandomForestRegressor-columns": on_numbers(ensemble.RandomForestRegressor(3, random_state=0), d.two_reals),
    "ExtraTreesRegressor-columns": on_numbers(ensemble.ExtraTreesRegressor(3, random_state=0), d.two_reals),
    "RandomForestClassifier-generator": on_numbers(ensemble.RandomForestClassifier(3, random_state=np.random.RandomState(3)), d.three),
    "GradientBoostingClassifier-three": on_numbers(ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0), d.words),
    "GradientBoostingClassifier-two": on_numbers(ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0), d.two),
    "GradientBoostingClassifier-exponential": on_numbers(
        ensemble.GradientBoostingClassifier(n_estimators=3, loss="exponential", subsample=0.8, random_state=0), d.two
    ),
    "GradientBoostingClassifier-started": on_numbers(
        ensemble.GradientBoostingClassifier(n_estimators=3, init=_logistic(), random_state=0), d.two
    ),
    "GradientBoostingClassifier-zero": on_numbers(ensemble.GradientBoostingClassifier(n_estimators=3, init="zero", random_state=0), d.two),
    "GradientBoostingClassifier-stopped": on_numbers(
        ensemble.GradientBoostingClassifier(n_estimators=9, n_iter_no_change=2, random_state=0), d.two
    ),
    **{
        f"GradientBoostingRegressor-{loss}": on_numbers(
            ensemble.GradientBoostingRegressor(n_estimators=3, loss=loss, random_state=0), d.real
        )
        for loss in ("absolute_error", "huber", "quantile")
    },
    "HistGradientBoostingClassifier-two": on_numbers(
        ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=4, random_state=0), d.two
    ),
    "HistGradientBoostingClassifier-people": on(
        ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=4, categorical_features="from_dtype", random_state=0),
        d.people[["age", "pay", "job"]],
        d.people_rows[["age", "pay", "job"]],
        d.words,
    ),
    "HistGradientBoostingClassifier-categories": on(
        ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=4, categorical_features=[0, 2], random_state=0),
        d.small_integers,
        d.small_integers_rows,
        d.two,
    ),
    "HistGradientBoostingRegressor-missing": on(
        ensemble.HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=4, random_state=0), d.holes, d.holes_rows, d.real
    ),
    **{
        f"HistGradientBoostingRegressor-{loss}": on_numbers(
            ensemble.HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=4, loss=loss, quantile=0.3, random_state=0), d.positive_real
        )
        for loss in ("absolute_error", "poisson", "gamma", "quantile")
    },
    "HistGradientBoostingRegressor-early": on_numbers(
        ensemble.HistGradientBoostingRegressor(max_iter=4, early_stopping=True, monotonic_cst=[1, 0, 0, 0], random_state=0), d.real
    ),
    "IsolationForest-contamination": on_numbers(
        ensemble.IsolationForest(n_estimators=4, contamination=0.1, max_features=2, random_state=0)
    ),
    "AdaBoostClassifier-logistic": on_numbers(ensemble.AdaBoostClassifier(_logistic(), n_estimators=2, random_state=0), d.two),
    "BaggingRegressor-neighbours": on_numbers(
        ensemble.BaggingRegressor(neighbors.KNeighborsRegressor(2), 3, max_features=0.5, random_state=0), d.real
    ),
    "BaggingClassifier-vectors": on_numbers(ensemble.BaggingClassifier(svm.SVC(), 2, random_state=0), d.words),
    "RandomTreesEmbedding-dense": on_numbers(ensemble.RandomTreesEmbedding(3, max_depth=2, sparse_output=False, random_state=0)),
}

_k = kernels
_processes: dict[str, Builder] = {
    "GaussianProcessRegressor-" + name: on_numbers(
        gaussian_process.GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None, normalize_y=True, random_state=0), d.real
    )
    for name, kernel in {
        "sum": _k.ConstantKernel(2.0) * _k.RBF([1.0, 1.0, 2.0, 2.0]) + _k.WhiteKernel(0.1),
        "matern": _k.Matern(nu=1.5) ** 2,
        "quadratic": _k.RationalQuadratic(),
        "dot": _k.DotProduct() + _k.PairwiseKernel(metric="laplacian"),
        "periodic": _k.ExpSineSquared(periodicity=9.0) + _k.WhiteKernel(1.0),
        "compound": _k.Exponentiation(_k.RBF(), 1.5),
    }.items()
}
_processes |= {
    "GaussianProcessRegressor-fitted": on_numbers(
        gaussian_process.GaussianProcessRegressor(_k.RBF() + _k.WhiteKernel(), random_state=0), d.real
    ),
    "GaussianProcessClassifier-three": on_numbers(
        gaussian_process.GaussianProcessClassifier(_k.RBF() * 1.5, optimizer=None, random_state=0), d.words
    ),
    "GaussianProcessClassifier-two": on_numbers(gaussian_process.GaussianProcessClassifier(_k.RBF(), random_state=0), d.two),
}

_linear: dict[str, Builder] = {
    "LogisticRegression-words": on_numbers(_logistic(), d.words),
    "LogisticRegression-liblinear": on_numbers(_logistic(solver="liblinear", class_weight="balanced"), d.two),
    "LogisticRegression-elastic": on_numbers(_logistic(solver="saga", l1_ratio=0.5, random_state=0), d.three),
    "LogisticRegression-frame": on(_logistic(), d.people[["pay"]], d.people_rows[["pay"]], d.words),
    "LogisticRegression-sparse": on(_logistic(), csc_array(d.x), csr_array(d.x_rows), d.two),
    "LogisticRegression-sparse-weights": lambda: (_logistic().fit(d.x, d.three).sparsify(), d.x_rows),
    "LinearRegression-columns": on_numbers(linear_model.LinearRegression(positive=True), d.two_reals),
    "LinearRegression-fortran": on(linear_model.LinearRegression(), np.asfortranarray(d.x, np.float32), d.x_rows, d.real),
    "Lasso-sparse": on_numbers(linear_model.Lasso(0.1, precompute=True), d.real),
    "RidgeCV-grid": on_numbers(linear_model.RidgeCV(alphas=(0.1, 1.0), cv=3), d.real),
    "RidgeClassifier-words": on_numbers(linear_model.RidgeClassifier(), d.words),
    **{
        f"SGDClassifier-{loss}": on_numbers(linear_model.SGDClassifier(loss=loss, average=loss == "log_loss", random_state=0), d.words)
        for loss in ("log_loss", "modified_huber", "squared_hinge", "perceptron", "huber", "epsilon_insensitive")
    },
    "SGDClassifier-early": on_numbers(linear_model.SGDClassifier(early_stopping=True, random_state=0), d.two),
    **{
        f"SGDRegressor-{loss}": on_numbers(linear_model.SGDRegressor(loss=loss, random_state=0), d.real)
        for loss in ("huber", "epsilon_insensitive", "squared_epsilon_insensitive")
    },
    "Perceptron-elastic": on_numbers(linear_model.Perceptron(penalty="elasticnet", random_state=0), d.three),
    **{
        f"TweedieRegressor-{power}": on_numbers(linear_model.TweedieRegressor(power=power, link=link), d.positive_real)
        for power, link in {0: "log", 1: "auto", 1.5: "auto", 3: "log"}.items()
    },
}

_rest: dict[str, Builder] = {
    "CategoricalNB": on(naive_bayes.CategoricalNB(min_categories=6), d.small_integers, d.small_integers_rows, d.three),
    "BernoulliNB-words": on_numbers(naive_bayes.BernoulliNB(), d.words),
    "KMeans-elkan": on_numbers(cluster.KMeans(3, algorithm="elkan", n_init=1, random_state=0)),
    "KMeans-given": on_numbers(cluster.KMeans(3, init=d.x[:3], n_init=1)),
    "KMeans-float32": on(cluster.KMeans(2, n_init=1, random_state=0), d.x.astype(np.float32), d.x_rows.astype(np.float32)),
    "Pipeline-kmeans": on_numbers(
        pipeline.make_pipeline(preprocessing.StandardScaler(), cluster.MiniBatchKMeans(3, n_init=1, random_state=0))
    ),
    "BisectingKMeans-largest": on_numbers(
        cluster.BisectingKMeans(4, bisecting_strategy="largest_cluster", algorithm="elkan", random_state=0)
    ),
    "Birch-deep": on_numbers(cluster.Birch(threshold=0.3, branching_factor=4, n_clusters=None)),
    "Birch-clustered": on_numbers(cluster.Birch(n_clusters=cluster.KMeans(2, n_init=1, random_state=0))),
    "HDBSCAN-centres": on_numbers(cluster.HDBSCAN(min_cluster_size=5, store_centers="both", copy=True)),
    "FeatureAgglomeration-max": on_numbers(cluster.FeatureAgglomeration(2, pooling_func=np.max)),
    **{
        f"GaussianMixture-{kind}": on_numbers(mixture.GaussianMixture(2, covariance_type=kind, random_state=0))
        for kind in ("tied", "diag", "spherical")
    },
    **{
        f"LinearDiscriminantAnalysis-{solver}": on_numbers(discriminant_analysis.LinearDiscriminantAnalysis(solver), d.words)
        for solver in ("lsqr", "eigen")
    },
    "QuadraticDiscriminantAnalysis-two": on_numbers(discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1), d.two),
    "CCA": on_numbers(cross_decomposition.CCA(2), d.two_reals),
    "PLSCanonical": on_numbers(cross_decomposition.PLSCanonical(2), d.two_reals),
    "PLSSVD": on_numbers(cross_decomposition.PLSSVD(2), d.two_reals),
    "PLSRegression-one": on_numbers(cross_decomposition.PLSRegression(1), d.real),
    "PCA-whitened": on_numbers(decomposition.PCA(0.9, whiten=True, svd_solver="full")),
    "PCA-sparse": on(decomposition.PCA(2, svd_solver="covariance_eigh", random_state=0), csr_array(d.x), csr_array(d.x_rows)),
    "KernelPCA-rbf": on_numbers(decomposition.KernelPCA(2, kernel="rbf", fit_inverse_transform=True)),
    "FastICA-cube": on_numbers(decomposition.FastICA(2, fun="cube", random_state=0)),
    "DummyClassifier-stratified": on_numbers(dummy.DummyClassifier(strategy="stratified", random_state=0), d.words),
    "DummyClassifier-constant": on_numbers(dummy.DummyClassifier(strategy="constant", constant="low"), d.words),
    "DummyRegressor-quantile": on_numbers(dummy.DummyRegressor(strategy="quantile", quantile=0.3), d.two_reals),
    "MLPClassifier-words": on_numbers(
        neural_network.MLPClassifier(
            hidden_layer_sizes=(4, 3), activation="tanh", solver="sgd", early_stopping=True, max_iter=5, random_state=0
        ),
        d.words,
    ),
    "MLPClassifier-labels": on_numbers(
        neural_network.MLPClassifier(hidden_layer_sizes=(4,), activation="logistic", solver="lbfgs", max_iter=5, random_state=0),
        d.two_labels,
    ),
    "MLPRegressor-columns": on_numbers(neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0), d.two_reals),
    "MLPRegressor-poisson": on_numbers(
        neural_network.MLPRegressor(hidden_layer_sizes=(4,), loss="poisson", max_iter=5, random_state=0), d.positive_real
    ),
    "SkewedChi2Sampler": on(kernel_approximation.SkewedChi2Sampler(n_components=5, random_state=0), d.positive, d.positive_rows),
    "SparseRandomProjection-dense": on_numbers(
        random_projection.SparseRandomProjection(2, compute_inverse_components=True, random_state=0)
    ),
}

FAMILIES: dict[str, Builder] = {**_neighbours, **_vectors, **_trees, **_processes, **_linear, **_rest}
